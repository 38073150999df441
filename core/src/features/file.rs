//! The features of one image as a file: `.safetensors`, with a checksum and the order of the axes in memory in its metadata.

use super::Form;
use crate::guard::torch;
use crate::model::ImageFeatures;
use crate::weights::{bytes, dtype_of};
use crate::{Error, Result};
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use tch::Tensor;

/// Bytes that the header takes at most.
pub const MOST_HEADER: u64 = 4096;
/// The entry of the metadata: CRC-32C of the numbers in hexadecimal, then the axes of every tensor: `1a2b3c4d 0231 0123 0123`.
const MARKS: &str = "sam_octa2_features";

/// Writes features.
pub fn write(path: &Path, features: &ImageFeatures, form: &Form) -> Result<()> {
    let dtype = dtype_of(form.kind).ok_or_else(|| Error::format(path, format!("no name for {:?}", form.kind)))?;
    let wrong = |what: String| Error::format(path, what);
    let tensors: Vec<_> = [&features.vision].into_iter().chain(features.high_res.iter().flatten()).collect();
    if tensors.len() != form.parts.len() {
        return Err(wrong(format!("{} features, not {}", tensors.len(), form.parts.len())));
    }
    let (mut checksum, mut orders, mut data) = (0, String::new(), Vec::new());
    for ((name, shape), tensor) in form.parts.iter().zip(tensors) {
        if tensor.size() != *shape || tensor.kind() != form.kind {
            return Err(wrong(format!(
                "{name}: {:?} {:?}, not {:?} {shape:?}",
                tensor.kind(),
                tensor.size(),
                form.kind
            )));
        }
        let axes = axes_in_memory(tensor);
        let numbers = bytes(&torch(|| tensor.f_permute(&axes))?)?;
        checksum = crc32c::crc32c_append(checksum, &numbers);
        orders.extend([" ".to_owned()].into_iter().chain(axes.iter().map(ToString::to_string)));
        data.push((*name, permuted(shape, &axes), numbers));
    }
    let metadata = HashMap::from([(MARKS.to_owned(), format!("{checksum:08x}{orders}"))]);
    let views = data.iter().map(|(name, shape, numbers)| {
        let shape = shape.iter().map(|&n| n as usize).collect();
        Ok((*name, TensorView::new(dtype, shape, numbers).map_err(|error| wrong(error.to_string()))?))
    });
    let views = views.collect::<Result<Vec<_>>>()?;
    safetensors::serialize_to_file(views, Some(metadata), path).map_err(|error| wrong(error.to_string()))
}

/// The features, on the model's device; none where the file is missing, damaged or of another form.
pub fn read(path: &Path, form: &Form) -> Option<ImageFeatures> {
    let length = fs::metadata(path).ok().filter(|metadata| metadata.is_file() && metadata.len() <= form.bytes())?.len();
    let mut content = Vec::with_capacity(length as usize);
    File::open(path).ok()?.take(length).read_to_end(&mut content).ok()?;
    let (_, header) = SafeTensors::read_metadata(&content).ok()?;
    let (metadata, file) = (header.metadata().as_ref()?, SafeTensors::deserialize(&content).ok()?);
    let mut marks = metadata.get(MARKS)?.split(' ');
    let (expected, mut checksum) = (marks.next()?, 0);
    let mut tensors = form.parts.iter().map(|(name, shape)| {
        let (view, axes) = (file.tensor(name).ok()?, axes_from(marks.next()?, shape.len())?);
        let stored = permuted(shape, &axes);
        let fits = view.shape().iter().map(|&n| n as i64).eq(stored.iter().copied());
        checksum = crc32c::crc32c_append(checksum, view.data());
        let number_of = |axis: usize| axes.iter().position(|&at| at as usize == axis).map(|at| at as i64);
        let back = (0..shape.len()).map(number_of).collect::<Option<Vec<_>>>()?;
        let tensor = (fits && dtype_of(form.kind) == Some(view.dtype())).then(|| {
            torch(|| {
                Tensor::f_from_data_size(view.data(), &stored, form.kind)?.f_to_device(form.device)?.f_permute(&back)
            })
        });
        tensor?.ok()
    });
    let vision = tensors.next()??;
    let high_res = tensors.collect::<Option<Vec<_>>>()?;
    let whole = format!("{checksum:08x}") == expected;
    whole.then(|| ImageFeatures::new(vision, <[Tensor; 2]>::try_from(high_res).ok()))
}

/// The axes of a tensor as its numbers lie in memory, the one with the longest steps first.
fn axes_in_memory(tensor: &Tensor) -> Vec<i64> {
    let steps = tensor.stride();
    let mut axes: Vec<i64> = (0..steps.len() as i64).collect();
    axes.sort_by_key(|&axis| Reverse(steps[axis as usize]));
    axes
}

fn permuted(shape: &[i64], axes: &[i64]) -> Vec<i64> {
    axes.iter().map(|&axis| shape[axis as usize]).collect()
}

/// The axes that were written; none where they are no order of so many.
fn axes_from(text: &str, count: usize) -> Option<Vec<i64>> {
    let axes = text.chars().map(|digit| digit.to_digit(10).map(i64::from)).collect::<Option<Vec<_>>>()?;
    let all = (0..count as i64).all(|axis| axes.contains(&axis));
    (all && axes.len() == count).then_some(axes)
}
