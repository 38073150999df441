//! Points and directions of the plane, in millimetres.

/// The scalar product.
pub fn dot(a: [f32; 2], b: [f32; 2]) -> f32 {
    a[0] * b[0] + a[1] * b[1]
}

/// Above 0 where `b` turns left of `a` (y upwards).
pub fn cross(a: [f32; 2], b: [f32; 2]) -> f32 {
    a[0] * b[1] - a[1] * b[0]
}

/// The same direction, length 1.
pub fn unit(a: [f32; 2]) -> [f32; 2] {
    let length = dot(a, a).sqrt().max(1e-9);
    a.map(|v| v / length)
}

/// Between two points.
pub fn distance(a: [f32; 2], b: [f32; 2]) -> f32 {
    let d = [a[0] - b[0], a[1] - b[1]];
    dot(d, d).sqrt()
}

/// The direction from one point to another, length 1.
pub fn direction(from: [f32; 2], to: [f32; 2]) -> [f32; 2] {
    unit([to[0] - from[0], to[1] - from[1]])
}

/// `step` from a point along a direction.
pub fn plus(at: [f32; 2], way: [f32; 2], step: f32) -> [f32; 2] {
    [at[0] + way[0] * step, at[1] + way[1] * step]
}

/// Turned by an angle.
pub fn turned([x, y]: [f32; 2], angle: f32) -> [f32; 2] {
    let (sin, cos) = angle.sin_cos();
    [x * cos - y * sin, x * sin + y * cos]
}
