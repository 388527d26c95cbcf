// Antialiased coverage of outlines: a signed distance to the edge, turned into a ramp of one pixel.

// Radii of the top left, top right, bottom right, bottom left corner; `ellipse` not 0 means the inscribed ellipse.
struct Outline {
    ellipse: u32,
    top_left: f32,
    top_right: f32,
    bottom_right: f32,
    bottom_left: f32,
}

// `inset` is the distance of the point from the two edges that meet in the corner.
fn corner_coverage(inset: vec2<f32>, radius: f32) -> f32 {
    if radius <= 0.0 || inset.x >= radius || inset.y >= radius {
        return 1.0;
    }
    return clamp(0.5 - (length(vec2<f32>(radius) - inset) - radius), 0.0, 1.0);
}

// First-order distance to the ellipse: the implicit function over the length of its gradient.
fn ellipse_coverage(point: vec2<f32>, size: vec2<f32>) -> f32 {
    let half_size = size * 0.5;
    let from_center = (point - half_size) / half_size;
    let value = dot(from_center, from_center) - 1.0;
    let gradient = 2.0 * length(from_center / half_size);
    if gradient <= 0.0 {
        return 1.0;
    }
    return clamp(0.5 - value / gradient, 0.0, 1.0);
}

// `point` is a pixel center on a surface of `size`.
fn coverage(outline: Outline, point: vec2<f32>, size: vec2<f32>) -> f32 {
    if outline.ellipse != 0u {
        return ellipse_coverage(point, size);
    }
    let far = size - point;
    return corner_coverage(point, outline.top_left)
        * corner_coverage(vec2<f32>(far.x, point.y), outline.top_right)
        * corner_coverage(far, outline.bottom_right)
        * corner_coverage(vec2<f32>(point.x, far.y), outline.bottom_left);
}
