//! `host-demo info`: what a file says about itself.

use super::InputRequest;
use crate::Result;
use crate::io::VolumeInfo;
use crate::progress::Observer;

/// What is known of the volume, in the orientation asked for.
pub fn info(request: &InputRequest, observer: &mut dyn Observer) -> Result<VolumeInfo> {
    let volume = request.open_once(observer)?.along(request.axis()?)?;
    VolumeInfo::new(&volume, &request.input, observer)
}
