//! Still pictures in AV1 by libaom: the only file that calls it.

use libaom_sys as ffi;
use std::ffi::{CStr, c_int, c_uint};

/// libaom refused a picture, or failed at it.
#[derive(Debug, thiserror::Error)]
#[error("libaom: {0}")]
pub struct AomError(String);

/// Rows of 8-bit samples that begin every `stride` samples.
#[derive(Clone, Copy)]
pub struct Samples<'a> {
    pub rows: &'a [u8],
    pub stride: usize,
}

/// The components of a picture.
#[derive(Clone, Copy)]
pub enum Components<'a> {
    /// One, such as opacity.
    Single(Samples<'a>),
    /// Luma, blue and red difference (BT.601 of sRGB-encoded values); the differences are halved both ways, or not.
    Color { planes: [Samples<'a>; 3], halved: bool },
}

/// A picture of full-range samples.
#[derive(Clone, Copy)]
pub struct Still<'a> {
    pub width: u32,
    pub height: u32,
    pub components: Components<'a>,
}

/// How a picture is encoded.
#[derive(Clone, Copy)]
pub struct Settings<'a> {
    /// From 0, the finest, to 63.
    pub quantizer: u8,
    /// libaom's `cpu-used`, from 0, the slowest, to 9.
    pub speed: u8,
    /// Other options by libaom's names.
    pub options: &'a [(&'a CStr, &'a CStr)],
}

/// The most samples a side (AV1 holds sixteen bits of them).
pub const MOST_SIDE: u32 = 65_536;

/// Encodes one key frame, on this thread alone: a sequence header and a frame, as an AVIF item holds them.
///
/// Errors: planes that are too short, sides out of range, settings that libaom does not take, and no memory.
pub fn encode(still: &Still<'_>, settings: &Settings<'_>) -> Result<Vec<u8>, AomError> {
    let image = image(still)?;
    let mut session = Session::new(still, settings)?;
    let mut stream = Vec::new();
    session.push(Some(&image), &mut stream)?;
    // A single picture without look-ahead comes out at once; whatever were held would come now.
    session.push(None, &mut stream)?;
    if stream.is_empty() {
        return Err(AomError("it wrote nothing".into()));
    }
    Ok(stream)
}

/// The description of the planes that libaom reads from. It points into `still` and must not be used for longer.
fn image(still: &Still<'_>) -> Result<ffi::aom_image_t, AomError> {
    let sides = 1..=MOST_SIDE;
    if !sides.contains(&still.width) || !sides.contains(&still.height) {
        return Err(AomError(format!("{}x{} is no size of a picture", still.width, still.height)));
    }
    // SAFETY: integers and pointers, of which zero is a value.
    let mut image: ffi::aom_image_t = unsafe { std::mem::zeroed() };
    let (planes, halved): (&[Samples<'_>], bool) = match &still.components {
        Components::Single(samples) => (std::slice::from_ref(samples), true),
        Components::Color { planes, halved } => (planes, *halved),
    };
    let shift = c_uint::from(halved);
    for (index, plane) in planes.iter().enumerate() {
        let reduce = |side: u32| if index > 0 { (side + shift) >> shift } else { side } as usize;
        let (width, height) = (reduce(still.width), reduce(still.height));
        let least = (height - 1).checked_mul(plane.stride).and_then(|above| above.checked_add(width));
        // One stride serves both differences.
        let same = index < 2 || plane.stride == planes[1].stride;
        if plane.stride < width || least.is_none_or(|least| plane.rows.len() < least) || !same {
            return Err(AomError(format!("plane {index} does not hold {width}x{height} samples")));
        }
        image.stride[index] = c_int::try_from(plane.stride).map_err(|_| AomError("rows are too long".into()))?;
        // libaom copies the samples before it does anything, and does not write to them.
        image.planes[index] = plane.rows.as_ptr().cast_mut();
    }
    image.fmt = if halved { ffi::AOM_IMG_FMT_I420 } else { ffi::AOM_IMG_FMT_I444 };
    image.monochrome = c_int::from(planes.len() == 1);
    (image.w, image.h) = (still.width, still.height);
    (image.d_w, image.d_h) = (still.width, still.height);
    (image.x_chroma_shift, image.y_chroma_shift) = (shift, shift);
    image.bit_depth = 8;
    image.bps = if halved { 12 } else { 24 };
    image.range = ffi::AOM_CR_FULL_RANGE;
    Ok(image)
}

/// An encoder that is open.
struct Session {
    context: ffi::aom_codec_ctx_t,
}

impl Session {
    fn new(still: &Still<'_>, settings: &Settings<'_>) -> Result<Self, AomError> {
        let (is_single, halved) = match still.components {
            Components::Single(_) => (true, true),
            Components::Color { halved, .. } => (false, halved),
        };
        // SAFETY: integers and pointers, of which zero is a value; the call fills the configuration.
        let mut config: ffi::aom_codec_enc_cfg_t = unsafe { std::mem::zeroed() };
        let interface = unsafe { ffi::aom_codec_av1_cx() };
        let code = unsafe { ffi::aom_codec_enc_config_default(interface, &mut config, ffi::AOM_USAGE_ALL_INTRA) };
        if code != ffi::AOM_CODEC_OK {
            return Err(AomError(text(code)));
        }
        let quantizer = c_uint::from(settings.quantizer.min(63));
        config.g_profile = c_uint::from(!halved);
        (config.g_w, config.g_h) = (still.width, still.height);
        config.g_threads = 1;
        // One picture: the header then has the short form for stills.
        config.g_limit = 1;
        config.g_lag_in_frames = 0;
        config.monochrome = c_uint::from(is_single);
        config.rc_end_usage = ffi::AOM_Q;
        (config.rc_min_quantizer, config.rc_max_quantizer) = (quantizer, quantizer);
        // SAFETY: an empty context is what the call expects, and what `drop` may be given if it fails.
        let mut session = Session { context: unsafe { std::mem::zeroed() } };
        let version = ffi::AOM_ENCODER_ABI_VERSION as c_int;
        // SAFETY: libaom copies the configuration.
        let code = unsafe { ffi::aom_codec_enc_init_ver(&mut session.context, interface, &config, 0, version) };
        if code != ffi::AOM_CODEC_OK {
            return Err(AomError(text(code)));
        }
        session.control(ffi::AOME_SET_CPUUSED, settings.speed.min(9).into())?;
        session.control(ffi::AOME_SET_CQ_LEVEL, quantizer as c_int)?;
        session.control(ffi::AV1E_SET_COLOR_RANGE, ffi::AOM_CR_FULL_RANGE as c_int)?;
        if !is_single {
            session.control(ffi::AV1E_SET_COLOR_PRIMARIES, ffi::AOM_CICP_CP_BT_709 as c_int)?;
            session.control(ffi::AV1E_SET_TRANSFER_CHARACTERISTICS, ffi::AOM_CICP_TC_SRGB as c_int)?;
            session.control(ffi::AV1E_SET_MATRIX_COEFFICIENTS, ffi::AOM_CICP_MC_BT_601 as c_int)?;
            // Chroma lies in the middle of its four luma samples, for which AV1 has no word.
            session.control(ffi::AV1E_SET_CHROMA_SAMPLE_POSITION, ffi::AOM_CSP_UNKNOWN as c_int)?;
        }
        for (name, value) in settings.options {
            // SAFETY: both texts end with a zero byte.
            let code = unsafe { ffi::aom_codec_set_option(&mut session.context, name.as_ptr(), value.as_ptr()) };
            session.check(code)?;
        }
        Ok(session)
    }

    /// Sets one of the options whose value is an `int` or an `unsigned int`, which are passed alike.
    fn control(&mut self, id: ffi::aome_enc_control_id, value: c_int) -> Result<(), AomError> {
        // SAFETY: the context is open; callers name such options only.
        let code = unsafe { ffi::aom_codec_control(&mut self.context, id as c_int, value) };
        self.check(code)
    }

    /// Gives a picture, or says that there are no more, and takes what is finished.
    fn push(&mut self, image: Option<&ffi::aom_image_t>, stream: &mut Vec<u8>) -> Result<(), AomError> {
        let image = image.map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: the context is open, and `image` made sure that the planes are as long as stated.
        let code = unsafe { ffi::aom_codec_encode(&mut self.context, image, 0, 1, 0) };
        self.check(code)?;
        let mut at: ffi::aom_codec_iter_t = std::ptr::null();
        loop {
            // SAFETY: packets are valid until the next call that encodes.
            let Some(packet) = (unsafe { ffi::aom_codec_get_cx_data(&mut self.context, &mut at).as_ref() }) else {
                return Ok(());
            };
            if packet.kind == ffi::AOM_CODEC_CX_FRAME_PKT {
                // SAFETY: the kind says which part of the union it is, and libaom filled `sz` bytes at `buf`.
                let bytes = unsafe {
                    let frame = packet.data.frame;
                    std::slice::from_raw_parts(frame.buf.cast::<u8>(), frame.sz)
                };
                stream.extend_from_slice(without_delimiter(bytes));
            }
        }
    }

    fn check(&self, code: ffi::aom_codec_err_t) -> Result<(), AomError> {
        if code == ffi::AOM_CODEC_OK {
            return Ok(());
        }
        // SAFETY: null or a text that lives until the next call.
        let detail = unsafe { ffi::aom_codec_error_detail(&self.context) };
        if detail.is_null() {
            return Err(AomError(text(code)));
        }
        let detail = unsafe { CStr::from_ptr(detail) }.to_string_lossy();
        Err(AomError(format!("{}: {detail}", text(code))))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: a context that never opened is refused, nothing more.
        unsafe { ffi::aom_codec_destroy(&mut self.context) };
    }
}

/// What libaom calls a failure.
fn text(code: ffi::aom_codec_err_t) -> String {
    // SAFETY: a static text for every number.
    unsafe { CStr::from_ptr(ffi::aom_codec_err_to_string(code)) }.to_string_lossy().into_owned()
}

/// A temporal unit without its delimiter, which a file does not need (AV1-ISOBMFF 2.4).
fn without_delimiter(unit: &[u8]) -> &[u8] {
    // Type 2 with a size field that says zero.
    unit.strip_prefix(&[2 << 3 | 1 << 1, 0]).unwrap_or(unit)
}
