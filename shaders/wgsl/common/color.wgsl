// Packing of pixels and the sRGB transfer.

// Red, green, blue, alpha in 0..1.
fn unpack_pixel(word: u32) -> vec4<f32> {
    return unpack4x8unorm(word);
}

// The built-in leaves the rounding of halves to the driver; the twin on the CPU rounds them up.
fn pack_pixel(color: vec4<f32>) -> u32 {
    let bytes = vec4<u32>(floor(clamp(color, vec4<f32>(0.0), vec4<f32>(1.0)) * 255.0 + 0.5));
    return bytes.x | (bytes.y << 8u) | (bytes.z << 16u) | (bytes.w << 24u);
}

fn with_alpha(word: u32, alpha: f32) -> u32 {
    return (word & 0x00ffffffu) | (u32(floor(clamp(alpha, 0.0, 1.0) * 255.0 + 0.5)) << 24u);
}

const OPAQUE: u32 = 0xff000000u;

// Source: IEC 61966-2-1. The way into linear light is a table of 256 values that the host computes.
fn srgb_encode(linear: vec3<f32>) -> vec3<f32> {
    let low = linear * 12.92;
    let high = 1.055 * pow(max(linear, vec3<f32>(0.0031308)), vec3<f32>(1.0 / 2.4)) - 0.055;
    return select(high, low, linear < vec3<f32>(0.0031308));
}

// Straight `layer` with its alpha multiplied by `opacity`, over straight `base`, on encoded values.
fn source_over(layer: vec4<f32>, opacity: f32, base: vec4<f32>) -> vec4<f32> {
    let cover = layer.a * opacity;
    let under = base.a * (1.0 - cover);
    let alpha = cover + under;
    if alpha <= 0.0 {
        return vec4<f32>(0.0);
    }
    return vec4<f32>((layer.rgb * cover + base.rgb * under) / alpha, alpha);
}
