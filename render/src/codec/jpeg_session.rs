//! libjpeg behind a safe wall: every call that may fail unwinds out of C, and is caught here.

use super::{invalid, truncated};
use crate::error::{Error, Result};
use mozjpeg_sys as ffi;
use std::marker::PhantomData;
use std::mem;
use std::os::raw::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;

/// Scans of a progressive file that are read before it counts as an attack: each costs a pass over the whole picture.
const MOST_SCANS: c_int = 200;

/// A decompressor and the bytes that it reads.
pub(super) struct Session<'a> {
    // Boxes keep the addresses that libjpeg stores.
    cinfo: Box<ffi::jpeg_decompress_struct>,
    _errors: Box<ffi::jpeg_error_mgr>,
    _progress: Box<ffi::jpeg_progress_mgr>,
    _bytes: PhantomData<&'a [u8]>,
}

// The structs are owned and only ever used through `&mut`.
unsafe impl Send for Session<'_> {}

impl<'a> Session<'a> {
    /// Reads the header, keeping EXIF and ICC blocks.
    pub fn read_header(bytes: &'a [u8]) -> Result<Self> {
        let mut errors: Box<ffi::jpeg_error_mgr> = Box::new(unsafe { mem::zeroed() });
        let mut progress = Box::new(ffi::jpeg_progress_mgr {
            progress_monitor: Some(check_scans),
            pass_counter: 0,
            pass_limit: 0,
            completed_passes: 0,
            total_passes: 0,
        });
        let mut cinfo: Box<ffi::jpeg_decompress_struct> = Box::new(unsafe { mem::zeroed() });
        // Safe: all three live on the heap for as long as the session, and the struct is created before its use.
        unsafe {
            ffi::jpeg_std_error(&mut errors);
            errors.error_exit = Some(fail);
            errors.emit_message = Some(weigh);
            cinfo.common.err = &mut *errors;
            ffi::jpeg_create_decompress(&mut *cinfo);
            cinfo.common.progress = &mut *progress;
        }
        let mut session = Session { cinfo, _errors: errors, _progress: progress, _bytes: PhantomData };
        session.call(|cinfo| unsafe {
            ffi::jpeg_mem_src(cinfo, bytes.as_ptr(), bytes.len() as _);
            for marker in [APP1, APP2, APP14] {
                ffi::jpeg_save_markers(cinfo, marker, 0xFFFF);
            }
            ffi::jpeg_read_header(cinfo, 1);
        })?;
        Ok(session)
    }

    /// Runs libjpeg calls; what they unwind with becomes an error. After an error the session can only be dropped.
    pub fn call<T>(&mut self, calls: impl FnOnce(&mut ffi::jpeg_decompress_struct) -> T) -> Result<T> {
        let cinfo = &mut *self.cinfo;
        catch_unwind(AssertUnwindSafe(|| calls(cinfo))).map_err(|thrown| match thrown.downcast::<Fault>() {
            Ok(fault) => match *fault {
                Fault::Truncated => truncated(),
                Fault::Other(message) => invalid(message),
            },
            Err(_) => invalid("the decoder failed"),
        })
    }

    pub fn info(&self) -> &ffi::jpeg_decompress_struct {
        &self.cinfo
    }

    /// Contents of the saved blocks with one marker, in file order.
    pub fn blocks(&self, marker: c_int) -> Vec<&[u8]> {
        let mut blocks = Vec::new();
        let mut next = self.cinfo.marker_list;
        // Safe: libjpeg keeps the list and its contents until the session is destroyed.
        while let Some(block) = unsafe { next.as_ref() } {
            if c_int::from(block.marker) == marker && !block.data.is_null() {
                blocks.push(unsafe { std::slice::from_raw_parts(block.data, block.data_length as usize) });
            }
            next = block.next;
        }
        blocks
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        // Safe: created in `read_header`; destroying frees memory only.
        unsafe { ffi::jpeg_destroy_decompress(&mut self.cinfo) }
    }
}

/// Marker of EXIF blocks.
pub(super) const APP1: c_int = 0xE1;
/// Marker of ICC blocks.
pub(super) const APP2: c_int = 0xE2;

/// Marker of Adobe's block, which says how inks are stored.
pub(super) const APP14: c_int = 0xEE;

/// What is thrown through libjpeg.
enum Fault {
    Truncated,
    Other(String),
}

fn message(cinfo: &mut ffi::jpeg_common_struct) -> String {
    // Safe: `err` was set by `read_header`; the formatter writes at most 80 bytes into the buffer, which its type calls
    // constant by mistake, hence the cell.
    unsafe {
        let Some(format) = cinfo.err.as_ref().and_then(|errors| errors.format_message) else {
            return String::from("unknown error");
        };
        let buffer = std::cell::UnsafeCell::new([0_u8; 80]);
        format(cinfo, &*buffer.get().cast_const());
        let text = ptr::read_volatile(buffer.get());
        String::from_utf8_lossy(text.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
    }
}

extern "C-unwind" fn fail(cinfo: &mut ffi::jpeg_common_struct) {
    let text = message(cinfo);
    // Unlike a panic this does not call the hook: a bad file is nothing to report.
    resume_unwind(Box::new(if text.to_ascii_lowercase().contains("premature end") {
        Fault::Truncated
    } else {
        Fault::Other(text)
    }));
}

/// Most warnings are about harmless sloppiness, but a picture that is partly missing must not be shown as grey.
extern "C-unwind" fn weigh(cinfo: &mut ffi::jpeg_common_struct, level: c_int) {
    if level < 0 && message(cinfo).to_ascii_lowercase().contains("premature end") {
        resume_unwind(Box::new(Fault::Truncated));
    }
}

extern "C-unwind" fn check_scans(cinfo: &mut ffi::jpeg_common_struct) {
    // Safe: the monitor is only installed on decompressors, whose first field is the common struct.
    let cinfo = unsafe { &*ptr::from_mut(cinfo).cast::<ffi::jpeg_decompress_struct>() };
    if cinfo.input_scan_number > MOST_SCANS {
        resume_unwind(Box::new(Fault::Other(format!("more than {MOST_SCANS} scans"))));
    }
}

/// Runs an encoder of the safe wrapper, which unwinds the same way.
pub(super) fn contained<T>(encode: impl FnOnce() -> std::io::Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(encode)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Error::Encode(error.to_string())),
        Err(thrown) => Err(Error::Encode(thrown.downcast_ref::<String>().cloned().unwrap_or_else(|| "jpeg".into()))),
    }
}
