//! Exact numbers of the language, and how an expression is told from a constant.

use super::transformation::Decimal;

/// Most digits after the point.
const MAX_SCALE: usize = 9;

/// Largest magnitude of a number that is not a count of pixels, so that plans can multiply it exactly.
const MAX_MAGNITUDE: i64 = 1_000_000;

/// Names that stand for a property of the picture inside of an expression.
const BUILTINS: &[&str] = &[
    "w", "h", "iw", "ih", "ar", "iar", "tar", "cp", "pc", "fc", "ccc", "rc", "px", "py", "idn", "ils", "du", "idu",
    "tags", "ctx", "md", "rn", "pgnames",
];

const OPERATORS: &[&str] = &["add", "sub", "mul", "div", "mod", "pow"];

/// `-?digits[.digits]` with at most 9 decimals, exactly as written. `None` for anything else and for overflow.
pub fn decimal(text: &str) -> Option<Decimal> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = match digits.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
        Some(_) => return None,
        None => (digits, ""),
    };
    if whole.is_empty() || fraction.len() > MAX_SCALE {
        return None;
    }
    let mut units: i64 = 0;
    for byte in whole.bytes().chain(fraction.bytes()) {
        if !byte.is_ascii_digit() {
            return None;
        }
        units = units.checked_mul(10)?.checked_add(i64::from(byte - b'0'))?;
    }
    let scale = u8::try_from(fraction.len()).ok()?;
    Some(Decimal { units: if negative { -units } else { units }, scale })
}

/// A whole number, exactly.
pub fn integer(text: &str) -> Option<i64> {
    decimal(text).filter(|number| number.is_integer()).map(|number| number.units)
}

/// Whether the magnitude is one that plans accept.
pub fn in_range(number: Decimal) -> bool {
    MAX_MAGNITUDE.checked_mul(number.denominator()).is_some_and(|most| number.units.abs() <= most)
}

/// Drops zeros at the end but keeps `least` digits after the point, so that equal numbers have one spelling.
pub fn trimmed(mut number: Decimal, least: u8) -> Decimal {
    while number.scale > least && number.units % 10 == 0 {
        number.units /= 10;
        number.scale -= 1;
    }
    number
}

/// Whether a value that is no constant is a legal expression: operands joined by operators, or a single variable or
/// property.
pub fn is_expression(text: &str) -> bool {
    let mut n_tokens = 0_usize;
    let mut only_number = true;
    for (index, token) in text.split('_').enumerate() {
        let is_number = decimal(token).is_some();
        let legal = if index % 2 == 0 {
            is_number || BUILTINS.contains(&token) || is_variable(token)
        } else {
            OPERATORS.contains(&token)
        };
        if !legal {
            return false;
        }
        only_number = is_number;
        n_tokens += 1;
    }
    n_tokens % 2 == 1 && (n_tokens > 1 || !only_number)
}

/// `$` and a letter, then letters and digits.
pub fn is_variable(text: &str) -> bool {
    text.strip_prefix('$').is_some_and(|name| {
        name.starts_with(|first: char| first.is_ascii_alphabetic())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn numbers_are_exact_or_refused() {
        assert_eq!(decimal("0.25").unwrap(), Decimal { units: 25, scale: 2 });
        assert_eq!(decimal("-20").unwrap(), Decimal::integer(-20));
        assert_eq!(decimal("007").unwrap(), Decimal::integer(7));
        assert_eq!(decimal("1.123456789").unwrap().scale, 9);
        for bad in ["", "-", "+1", ".5", "1.", "1.1234567891", "1e3", "99999999999999999999", "0x1", "1.2.3", "٣"] {
            assert_eq!(decimal(bad), None, "{bad}");
        }
    }

    #[test]
    fn expressions_are_told_from_constants() {
        for yes in ["iw_mul_2", "$x", "w", "10_add_$y_div_2", "-1_mul_w"] {
            assert!(is_expression(yes), "{yes}");
        }
        for no in ["10", "abc", "iw_mul", "mul", "$", "$1", "w_w", "", "_"] {
            assert!(!is_expression(no), "{no}");
        }
    }
}
