//! CUDA's libraries, opened when a device is first asked for.
//!
//! Candle has its CUDA functions linked, so that a program of it would not even start where the
//! driver is missing. Here each of these functions is defined ([`functions`]): as a jump to where
//! the library has it, once [`load`] has opened that. So nothing is left for the linker to want
//! from the libraries, they are not named in the program, and one that was built for CUDA starts
//! on any machine. Nothing but [`load`] comes before the first use of a device.
//!
//! A function that Candle newly takes is an undefined symbol when a program is linked without the
//! libraries (`deploy/cuda/build` does), and one more name in `functions.rs`.

mod functions;

use std::ffi::c_void;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

use libloading::os::unix::{Library as Handle, RTLD_LAZY, RTLD_LOCAL};

/// A function of a library: its name, and where it is.
struct Function {
    name: &'static str,
    target: &'static AtomicPtr<c_void>,
}

/// A library, by the names that it may have; `N` in them is the major version of CUDA.
struct Library {
    names: &'static [&'static str],
    functions: &'static [Function],
}

/// The libraries that are opened. CUDA's runtime is not one of them: only kernels of quantised
/// weights take it, which motet does not call.
static LIBRARIES: [Library; 3] = [
    Library {
        names: &["libcuda.so.1"],
        functions: functions::DRIVER,
    },
    Library {
        names: &["libcublas.so.N"],
        functions: functions::CUBLAS,
    },
    Library {
        names: &["libcurand.so.10", "libcurand.so.N"],
        functions: functions::CURAND,
    },
];

/// Opens the libraries of the major version of CUDA that the program was built with. They stay
/// open; a second call only repeats the answer.
///
/// # Errors
/// The words of the system's loader about the first library that cannot be opened.
pub(crate) fn load(major: u32) -> Result<(), String> {
    static LOADED: OnceLock<Result<(), String>> = OnceLock::new();
    let open_all = || LIBRARIES.iter().try_for_each(|it| open(it, major));
    LOADED.get_or_init(open_all).clone()
}

fn open(library: &Library, major: u32) -> Result<(), String> {
    let names = library.names.iter();
    let names = names.map(|name| name.replace('N', &major.to_string()));
    let mut refused = None;
    for name in names {
        // SAFETY: these libraries may be initialised at any time, from any thread.
        match unsafe { Handle::open(Some(&name), RTLD_LAZY | RTLD_LOCAL) } {
            Ok(handle) => {
                set_targets(&handle, library.functions);
                // Its functions are called until the process ends.
                std::mem::forget(handle);
                return Ok(());
            }
            Err(error) => refused = refused.or(Some(words(&error))),
        }
    }
    Err(refused.unwrap_or_default())
}

/// Sets where the functions are. One that an older library lacks keeps saying so when it is called.
fn set_targets(handle: &Handle, functions: &[Function]) {
    for Function { name, target } in functions {
        // SAFETY: only the address is taken; who calls it gives it its type.
        let found = unsafe { handle.get::<*mut c_void>(*name) };
        if let Ok(symbol) = found {
            target.store(symbol.into_raw(), Ordering::Release);
        }
    }
}

/// Returns the loader's own words, which name the file.
fn words(error: &libloading::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => source.to_string(),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::c_int;

    use super::*;

    unsafe extern "C" {
        fn cuInit(flags: u32) -> c_int;
        fn cublasCreate_v2(handle: *mut c_void) -> c_int;
        fn curandDestroyGenerator(generator: *mut c_void) -> c_int;
    }

    #[test]
    fn functions_say_that_nothing_is_initialised_until_the_libraries_are_open() {
        let null = std::ptr::null_mut();
        // SAFETY: without libraries these only return a number.
        let found = unsafe {
            [
                cuInit(0),
                cublasCreate_v2(null),
                curandDestroyGenerator(null),
            ]
        };
        assert_eq!(found, [3, 1, 101]);
        // As far as this machine has them.
        if let Err(words) = load(13) {
            assert!(words.contains(".so"), "{words}");
            assert_eq!(load(13), Err(words));
        }
    }

    #[test]
    fn a_library_that_is_not_there_is_named() {
        let library = Library {
            names: &["libmotet-none.so.N"],
            functions: &[],
        };
        let error = open(&library, 13).unwrap_err();
        assert!(error.contains("libmotet-none.so.13"), "{error}");
    }

    #[test]
    fn functions_are_called_where_a_library_has_them() {
        static TARGET: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
        static MISSING: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
        let functions: &'static [Function] = const {
            &[
                Function {
                    name: "abs",
                    target: &TARGET,
                },
                Function {
                    name: "motet_none",
                    target: &MISSING,
                },
            ]
        };
        let library = Library {
            names: &["libmotet-none.so.N", "libc.so.6"],
            functions,
        };
        open(&library, 13).unwrap();
        assert!(MISSING.load(Ordering::Acquire).is_null());
        let address = TARGET.load(Ordering::Acquire);
        // SAFETY: it is C's `abs`.
        let abs: extern "C" fn(c_int) -> c_int = unsafe { std::mem::transmute(address) };
        assert_eq!(abs(-7), 7);
    }
}
