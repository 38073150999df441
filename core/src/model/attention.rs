//! Scaled dot-product attention: libtorch's kernels, and on a CPU two matrix products where those are slow (docs/performance.md).

use super::layers::in_training;
use crate::progress::checkpoint;
use tch::{Device, Kind, Tensor};

/// Scaled dot-product attention of `[B, heads, N, C]` queries, `[B, heads, M, C]` keys and `[B, heads, M, D]` values.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor) -> Tensor {
    weighted_attention(q, k, v, None)
}

/// The same with something added to every query's scores: a number per key, `[M]`.
pub fn weighted_attention(q: &Tensor, k: &Tensor, v: &Tensor, bias: Option<&Tensor>) -> Tensor {
    /// queries of one piece, after which someone may want the work to stop; fewer would be slower (libtorch's kernel takes 256 at a time,
    /// but only of 768 and more)
    const PIECE: i64 = 1024;
    /// multiplications and additions from which on it matters: some 25 ms of two cores
    const LONG: i64 = 8_000_000_000;
    if q.device() != Device::Cpu || in_training(&[q, k, v]) {
        return attend(q, k, v, bias);
    }
    // libtorch's kernel computes in float32 whatever it is given, and wants values as wide as keys
    if q.kind() != Kind::Float || v.size()[3] != k.size()[3] {
        return by_products(q, k, v, bias);
    }
    let long = 4 * q.size().iter().product::<i64>() * k.size()[2] > LONG;
    if long { in_pieces(q, k, v, bias, PIECE) } else { attend(q, k, v, bias) }
}

/// The same, so many queries at a time: each query's answer is its own.
fn in_pieces(q: &Tensor, k: &Tensor, v: &Tensor, bias: Option<&Tensor>, queries: i64) -> Tensor {
    let pieces = q.split(queries, 2).into_iter().map(|q| {
        checkpoint();
        attend(&q, k, v, bias)
    });
    Tensor::cat(&pieces.collect::<Vec<_>>(), 2)
}

/// The same as two matrix products with a softmax between; no gradients.
fn by_products(q: &Tensor, k: &Tensor, v: &Tensor, bias: Option<&Tensor>) -> Tensor {
    /// scores of one piece, in numbers, but not fewer queries than pay
    const SCORES: i64 = 4 << 20;
    const QUERIES: i64 = 512;
    let (size, keys, width) = (q.size(), k.size()[2], v.size()[3]);
    let batch = |x: &Tensor| x.reshape([size[0] * size[1], x.size()[2], x.size()[3]]);
    let (q, k, v) = (batch(&(q / (size[3] as f64).sqrt())), batch(k), batch(v));
    if size[0] * size[1] * size[2] * keys <= SCORES {
        let scores = q.bmm(&k.transpose(1, 2));
        let scores = bias.map_or_else(|| scores.shallow_clone(), |bias| scores.shallow_clone().g_add_(bias));
        return scores.internal_softmax_out(&scores, -1, false).bmm(&v).view([size[0], size[1], size[2], width]);
    }
    // rows of scores begin where wide registers like it; the keys that are too many have no weight
    let surplus = (keys + 31) / 32 * 32 - keys;
    let v = v.constant_pad_nd([0, 0, 0, surplus]);
    let queries = (SCORES / keys).max(QUERIES).min(size[2]);
    let answer = Tensor::empty([size[0] * size[1], size[2], width], (v.kind(), v.device()));
    let room = Tensor::empty([queries, keys + surplus], (q.kind(), q.device()));
    for head in 0..size[0] * size[1] {
        let (q, k, v, answer) = (q.get(head), k.get(head), v.get(head), answer.get(head));
        for (q, answer) in q.split(queries, 0).iter().zip(answer.split(queries, 0)) {
            checkpoint();
            let scores = room.narrow(0, 0, q.size()[0]);
            products(q, &k, &scores.narrow(1, 0, keys));
            if let Some(bias) = bias {
                let _ = scores.narrow(1, 0, keys).g_add_(bias);
            }
            let _ = scores.narrow(1, keys, surplus).fill_(f64::NEG_INFINITY);
            let _ = scores.internal_softmax_out(&scores, -1, false).mm_out(&answer, &v);
        }
    }
    answer.view([size[0], size[1], size[2], width])
}

/// Queries `[N, C]` times keys `[M, C]` into scores `[N, M]`; in float32 so many keys at a time, for which MKL copies less.
fn products(q: &Tensor, k: &Tensor, scores: &Tensor) {
    let keys = if q.kind() == Kind::Float { 2048 } else { k.size()[0] };
    for (k, scores) in k.split(keys, 0).iter().zip(scores.split(keys, 1)) {
        let _ = q.mm_out(&scores, &k.transpose(0, 1));
    }
}

fn attend(q: &Tensor, k: &Tensor, v: &Tensor, bias: Option<&Tensor>) -> Tensor {
    attention_with_bias(q, k, v, bias.map(|bias| bias.view([1, 1, 1, -1])).as_ref())
}

/// [`attention`] of few tokens (windows) with something added to the scores: `bias` broadcasts to `[B, heads, N, N]`.
pub fn attention_with_bias(q: &Tensor, k: &Tensor, v: &Tensor, bias: Option<&Tensor>) -> Tensor {
    Tensor::scaled_dot_product_attention(q, k, v, bias, 0.0, false, None, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attention_in_pieces_is_attention() {
        tch::manual_seed(3);
        let random = |tokens: i64| Tensor::randn([1, 2, tokens, 32], (Kind::Float, Device::Cpu));
        let (q, k, v) = (random(700), random(900), random(900));
        let bias = Tensor::randn([900], (Kind::Float, Device::Cpu));
        for bias in [None, Some(&bias)] {
            let difference = in_pieces(&q, &k, &v, bias, 256) - attend(&q, &k, &v, bias);
            let difference = difference.abs().max().double_value(&[]);
            assert!(difference < 1e-6, "{difference}");
        }
    }

    #[test]
    fn attention_by_products_is_attention() {
        tch::manual_seed(4);
        let random = |tokens: i64, width: i64| Tensor::randn([2, 2, tokens, width], (Kind::Float, Device::Cpu));
        for keys in [60, 20_001] {
            let (q, k, v) = (random(700, 32), random(keys, 32), random(keys, 32));
            let bias = Tensor::randn([keys], (Kind::Float, Device::Cpu));
            for bias in [None, Some(&bias)] {
                let expected = attend(&q, &k, &v, bias);
                let difference = (by_products(&q, &k, &v, bias) - &expected).abs().max().double_value(&[]);
                assert!(difference < 5e-6, "{difference}");
                let narrow = by_products(&q, &k, &v.narrow(3, 0, 8), bias) - expected.narrow(3, 0, 8);
                assert!(narrow.abs().max().double_value(&[]) < 5e-6);
            }
        }
    }
}
