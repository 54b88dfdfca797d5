//! The allocator of the whole program, and what it says of itself.
#![expect(unsafe_code, reason = "the allocator is C, and tells its statistics to a callback")]

use std::ffi::{CStr, c_char, c_void};

/// Requests allocate and free many small buffers on many threads, which the system's
/// allocator serves slowly and gives back late.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Bytes of its account; there are about half as many.
const STATISTICS_BYTES: usize = 16 << 10;

/// Its own account, for a person: what is reserved, committed and in use.
pub(crate) fn statistics() -> String {
    // Room for all of it, so that the allocator is not asked for more while it tells.
    let mut text = String::with_capacity(STATISTICS_BYTES);
    let into = (&raw mut text).cast::<c_void>();
    // SAFETY: the callback is called before this returns, on this thread, and with this `into`,
    // which points to a string that nobody else uses meanwhile.
    unsafe { libmimalloc_sys::mi_stats_print_out(Some(add), into) };
    text
}

/// # Safety
/// `into` points to a `String` that nobody else uses, `piece` to text that ends with a zero.
unsafe extern "C" fn add(piece: *const c_char, into: *mut c_void) {
    // SAFETY: as the caller promises.
    let (piece, into) = unsafe { (CStr::from_ptr(piece), &mut *into.cast::<String>()) };
    into.push_str(&piece.to_string_lossy());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_allocator_tells_what_is_committed() {
        let text = statistics();
        assert!(text.contains("commit"), "{text}");
    }
}
