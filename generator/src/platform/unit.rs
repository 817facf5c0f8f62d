//! Units as UCUM codes.
//!
//! The check knows the grammar and the codes that measuring devices use, with metric prefixes; it does not know
//! which unit fits which quantity.

use std::borrow::Cow;

use smol_str::SmolStr;

use crate::{
    check::context::{Context, shown},
    diagnostic::{Code, Diagnostic},
    source::At,
};

/// Codes that take metric prefixes.
const METRIC: &[&str] = &[
    "m", "s", "g", "rad", "K", "C", "cd", "mol", "sr", "Hz", "N", "Pa", "J", "W", "A", "V", "F", "Ohm", "S", "Wb",
    "Cel", "T", "H", "lm", "lx", "Bq", "Gy", "Sv", "L", "l", "ar", "t", "bar", "u", "eV", "pc", "B", "Bd", "bit", "By",
    "osm", "eq", "U", "kat", "Np", "cal", "dyn", "erg", "P", "St", "Gal", "G", "Mx", "m[H2O]", "m[Hg]", "B[SPL]",
    "B[V]", "B[mV]", "B[uV]", "B[W]", "B[kW]", "B[mW]", "[iU]", "[IU]", "Ci", "R", "RAD", "REM", "mho",
];

/// Codes that take none.
const PLAIN: &[&str] = &[
    "10*",
    "10^",
    "[pi]",
    "%",
    "[ppth]",
    "[ppm]",
    "[ppb]",
    "[pptr]",
    "min",
    "h",
    "d",
    "wk",
    "mo",
    "a",
    "deg",
    "'",
    "''",
    "gon",
    "atm",
    "att",
    "[psi]",
    "[in_i]",
    "[ft_i]",
    "[yd_i]",
    "[mi_i]",
    "[nmi_i]",
    "[kn_i]",
    "[acr_us]",
    "[gal_us]",
    "[qt_us]",
    "[pt_us]",
    "[foz_us]",
    "[bbl_us]",
    "[gal_br]",
    "[lb_av]",
    "[oz_av]",
    "[ston_av]",
    "[lton_av]",
    "[degF]",
    "[degR]",
    "[degRe]",
    "[Btu]",
    "[Btu_IT]",
    "[HP]",
    "[lbf_av]",
    "[sin_i]",
    "[sft_i]",
    "[cin_i]",
    "[cft_i]",
    "[pH]",
    "[NTU]",
    "[FTU]",
    "[FNU]",
    "[CFU]",
    "[PFU]",
    "[arb'U]",
    "[g]",
    "[c]",
    "[in_i'H2O]",
    "[in_i'Hg]",
    "[mil_i]",
    "[AU]",
    "har",
    "[car_m]",
    "circ",
    "[drp]",
    "[cr_i]",
    "[bf_i]",
    "[cyd_i]",
    "[S]",
    "bit_s",
];

const PREFIXES: &[&str] = &[
    "da", "Ki", "Mi", "Gi", "Ti", "Y", "Z", "E", "P", "T", "G", "M", "k", "h", "d", "c", "m", "u", "n", "p", "f", "a",
    "z", "y",
];

/// What people write, and the code for it.
const COMMON: &[(&str, &str)] = &[
    ("psi", "[psi]"),
    ("PSI", "[psi]"),
    ("°C", "Cel"),
    ("degC", "Cel"),
    ("celsius", "Cel"),
    ("Celsius", "Cel"),
    ("°F", "[degF]"),
    ("degF", "[degF]"),
    ("fahrenheit", "[degF]"),
    ("gpm", "[gal_us]/min"),
    ("GPM", "[gal_us]/min"),
    ("lpm", "L/min"),
    ("NTU", "[NTU]"),
    ("ph", "[pH]"),
    ("ppm", "[ppm]"),
    ("ppb", "[ppb]"),
    ("percent", "%"),
    ("pct", "%"),
    ("rpm", "{rpm}/min"),
    ("RPM", "{rpm}/min"),
    ("ohm", "Ohm"),
    ("Ω", "Ohm"),
    ("µm", "um"),
    ("hz", "Hz"),
    ("kwh", "kW.h"),
    ("kWh", "kW.h"),
    ("Wh", "W.h"),
    ("mph", "[mi_i]/h"),
    ("km/hr", "km/h"),
    ("hr", "h"),
    ("sec", "s"),
    ("inch", "[in_i]"),
    ("in", "[in_i]"),
    ("feet", "[ft_i]"),
    ("gal", "[gal_us]"),
    ("lb", "[lb_av]"),
    ("lbs", "[lb_av]"),
    ("dBm", "dB[mW]"),
    ("inH2O", "[in_i'H2O]"),
    ("mmHg", "mm[Hg]"),
    ("m³/h", "m3/h"),
    ("m^3/h", "m3/h"),
    ("m³", "m3"),
    ("µS/cm", "uS/cm"),
    ("volt", "V"),
    ("amp", "A"),
    ("watt", "W"),
    ("°", "deg"),
    ("%RH", "%"),
    ("rh", "%"),
    ("mi", "[mi_i]"),
    ("MWh", "MW.h"),
    ("mpa", "MPa"),
    ("mhz", "MHz"),
    ("KB", "kBy"),
];

/// Longest unit that has no near one: among names so short, nearly all are near to each other.
const SHORT_BYTES_MAX: usize = 4;

/// Checks a unit; nothing if there is none, or it is none.
pub(crate) fn check(unit: &Option<String>, at: &At<'_>, context: &Context<'_>) -> Option<SmolStr> {
    let unit = unit.as_deref()?;
    if is_unit(unit) {
        return Some(unit.into());
    }
    let message = format!("`{}` is not a UCUM code of a unit", shown(unit));
    let diagnostic = Diagnostic::new(Code::InvalidUnit, context.value(at), message);
    let common = |is_meant: fn(&str, &str) -> bool| {
        COMMON.iter().find(|(written, _)| is_meant(written, unit)).map(|(_, code)| (*code).to_owned())
    };
    let near = common(|written, unit| written == unit)
        .or_else(|| common(str::eq_ignore_ascii_case))
        .or_else(|| in_other_case(unit))
        .or_else(|| {
            let codes = METRIC.iter().chain(PLAIN).copied().filter(|_| unit.len() > SHORT_BYTES_MAX);
            context.nearest(unit, codes).map(str::to_owned)
        });
    context.report(match near {
        Some(code) => diagnostic.replace(format!("did you mean `{code}`?"), format!("\"{code}\"")),
        None => diagnostic.help("examples: \"L/min\", \"Cel\", \"kPa\", \"[psi]\", \"%\", \"mg/L\", \"{count}\""),
    });
    None
}

/// The code that is a text but for the case of its letters. A prefix stays as it is written, unless capitals hide its case.
fn in_other_case(text: &str) -> Option<String> {
    let is_capital = !text.contains(|c: char| c.is_ascii_lowercase());
    let text = if is_capital { Cow::Owned(text.to_ascii_lowercase()) } else { Cow::Borrowed(text) };
    let with = |prefix: &str| {
        let (written, rest) = text.split_at_checked(prefix.len())?;
        let unit = METRIC.iter().find(|unit| unit.eq_ignore_ascii_case(rest))?;
        written.eq_ignore_ascii_case(prefix).then(|| format!("{prefix}{unit}"))
    };
    let plain = || PLAIN.iter().find(|unit| unit.eq_ignore_ascii_case(&text)).map(|unit| (*unit).to_owned());
    let (own, others): (Vec<_>, Vec<_>) = PREFIXES.iter().partition(|prefix| text.starts_with(**prefix));
    with("").or_else(plain).or_else(|| own.into_iter().chain(others).find_map(with))
}

/// Whether a text follows UCUM's grammar with codes known here.
fn is_unit(text: &str) -> bool {
    if text.is_empty() || text.len() > 100 || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return false;
    }
    let mut rest = text.strip_prefix('/').unwrap_or(text);
    let mut open = 0_u32;
    loop {
        while let Some(inner) = rest.strip_prefix('(') {
            open += 1;
            rest = inner;
        }
        let Some(after) = component(rest) else { return false };
        rest = after;
        while let Some(outer) = rest.strip_prefix(')') {
            let Some(left) = open.checked_sub(1) else { return false };
            open = left;
            rest = outer;
        }
        match rest.as_bytes().first() {
            None => return open == 0,
            Some(b'.' | b'/') => rest = &rest[1..],
            Some(_) => return false,
        }
    }
}

/// What follows one code with its exponent and annotation, or a number, or an annotation alone.
fn component(text: &str) -> Option<&str> {
    if text.starts_with('{') {
        return annotation(text);
    }
    let end = code_end(text);
    let (code, rest) = text.split_at(end);
    if code.is_empty() {
        return None;
    }
    // A factor is a plain number, such as 100.
    if !code.bytes().all(|byte| byte.is_ascii_digit()) {
        // The exponent stands behind the code: `m3`, `s-1`.
        let bare = code.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches(['+', '-']);
        if !is_code(code) && (bare.len() == code.trim_end_matches(['+', '-']).len() || !is_code(bare)) {
            return None;
        }
    }
    if rest.starts_with('{') { annotation(rest) } else { Some(rest) }
}

/// Where a code ends: at an operator, a parenthesis or an annotation outside square brackets.
fn code_end(text: &str) -> usize {
    let mut in_brackets = false;
    for (at, c) in text.char_indices() {
        match c {
            '[' => in_brackets = true,
            ']' => in_brackets = false,
            '.' | '/' | '(' | ')' | '{' | '}' if !in_brackets => return at,
            _ => {}
        }
    }
    text.len()
}

/// What follows an annotation.
fn annotation(text: &str) -> Option<&str> {
    let (inside, rest) = text.strip_prefix('{')?.split_once('}')?;
    (!inside.contains('{')).then_some(rest)
}

/// Whether a code is known, with or without a metric prefix.
fn is_code(code: &str) -> bool {
    METRIC.contains(&code)
        || PLAIN.contains(&code)
        || PREFIXES.iter().any(|prefix| code.strip_prefix(prefix).is_some_and(|rest| METRIC.contains(&rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_measuring_devices_are_units() {
        for unit in [
            "L/min",
            "[psi]",
            "Cel",
            "mg/L",
            "[NTU]",
            "[pH]",
            "mm/s",
            "kW",
            "%",
            "m3/h",
            "m/s2",
            "kW.h",
            "uS/cm",
            "{count}",
            "10*3/uL",
            "[gal_us]/min",
            "/min",
            "dB",
            "mm[Hg]",
            "[in_i'H2O]",
            "kPa",
            "{rpm}/min",
            "W/(m2.K)",
            "1",
            "s-1",
            "hPa",
            "dB[mW]",
            "L{wet}/h",
        ] {
            assert!(is_unit(unit), "{unit}");
        }
    }

    #[test]
    fn a_unit_in_other_case_is_the_one_that_is_commonly_meant() {
        for (written, code) in [
            ("kpa", "kPa"),
            ("KPA", "kPa"),
            ("ma", "mA"),
            ("KW", "kW"),
            ("KG", "kg"),
            ("mv", "mV"),
            ("db", "dB"),
            ("MBAR", "mbar"),
            ("MIN", "min"),
        ] {
            assert_eq!(in_other_case(written).as_deref(), Some(code), "{written}");
        }
        assert_eq!(in_other_case("kpsi"), None);
    }

    #[test]
    fn what_people_write_instead_is_not() {
        for (written, code) in COMMON {
            assert!(!is_unit(written), "{written}");
            assert!(is_unit(code), "{code}");
        }
        for bad in ["", "L/", "L//min", "(m", "m)", "m s", "{a", "foo", "[x", "3m3m"] {
            assert!(!is_unit(bad), "{bad}");
        }
    }
}
