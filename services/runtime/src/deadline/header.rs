//! The `grpc-timeout` header: up to eight digits and a unit.

use std::time::Duration;

/// Name of the header.
pub const GRPC_TIMEOUT: &str = "grpc-timeout";

/// Digits that the gRPC protocol allows.
const DIGITS_MAX: usize = 8;

/// A `grpc-timeout` header that is not of the form that the gRPC protocol defines.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "grpc-timeout {found:?} is malformed: expected 1 to 8 digits and one of the units H, M, S, m, \
     u, n (for example 250m)"
)]
pub struct TimeoutError {
    found: String,
}

/// Reads the value of a `grpc-timeout` header, such as `250m` for 250 ms.
///
/// # Errors
/// When it is not one to eight ASCII digits followed by one unit.
pub fn parse_timeout(value: &[u8]) -> Result<Duration, TimeoutError> {
    let malformed = || TimeoutError {
        found: String::from_utf8_lossy(&value[..value.len().min(32)]).into_owned(),
    };
    let (unit, digits) = value.split_last().ok_or_else(malformed)?;
    if digits.is_empty() || digits.len() > DIGITS_MAX || !digits.iter().all(u8::is_ascii_digit) {
        return Err(malformed());
    }
    let n = digits
        .iter()
        .fold(0u64, |n, digit| n * 10 + u64::from(digit - b'0'));
    Ok(match unit {
        b'H' => Duration::from_secs(n * 3600),
        b'M' => Duration::from_secs(n * 60),
        b'S' => Duration::from_secs(n),
        b'm' => Duration::from_millis(n),
        b'u' => Duration::from_micros(n),
        b'n' => Duration::from_nanos(n),
        _ => return Err(malformed()),
    })
}

/// Writes a timeout as a `grpc-timeout` value, in the finest unit that fits eight digits. It is
/// rounded down, so that the next hop never has more time than this one.
pub fn format_timeout(timeout: Duration) -> String {
    const LIMIT: u128 = 10u128.pow(DIGITS_MAX as u32);
    let nanos = timeout.as_nanos();
    let units = [
        (1, 'n'),
        (1_000, 'u'),
        (1_000_000, 'm'),
        (1_000_000_000, 'S'),
        (60_000_000_000, 'M'),
        (3_600_000_000_000, 'H'),
    ];
    for (size, unit) in units {
        let n = nanos / size;
        if n < LIMIT {
            return format!("{n}{unit}");
        }
    }
    format!("{}H", LIMIT - 1)
}
