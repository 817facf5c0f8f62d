//! `contacts.X.webhook`: a URL without secrets, and a reference to its signing key.

use std::net::IpAddr;

use fleetform_engine::{public_address::not_public, rule_set::Webhook};

use super::contact::RawWebhook;
use crate::{
    check::context::Context,
    diagnostic::{Code, Diagnostic},
    source::At,
};

/// Longest URL, in bytes.
const URL_BYTES_MAX: usize = 1_024;

/// The format of a reference to a secret.
const REFERENCE_HELP: &str = "keep the secret in Secrets Manager or Parameter Store and refer to it: \
                              secret = \"secretsmanager:NAME\" or \"ssm:NAME\"";

/// Checks a webhook; `None` if it cannot be used.
pub(crate) fn check(raw: &RawWebhook, at: &At<'_>, context: &Context<'_>) -> Option<Webhook> {
    match raw {
        RawWebhook::Url(url) => {
            let url = check_url(url, at, context).then(|| url.as_str().into())?;
            Some(Webhook { url, secret: None })
        }
        RawWebhook::Table { url, secret } => {
            let url = url.as_ref().filter(|url| check_url(url, &at.key("url"), context));
            let secret_fits = secret.as_ref().is_none_or(|secret| check_secret(secret, &at.key("secret"), context));
            let url = url?.as_str().into();
            secret_fits.then(|| Webhook { url, secret: secret.as_deref().map(Into::into) })
        }
    }
}

/// Whether a reference names where a secret is stored and is not the secret itself. The text is not repeated in the
/// report.
fn check_secret(secret: &str, at: &At<'_>, context: &Context<'_>) -> bool {
    let name = secret.strip_prefix("secretsmanager:").or_else(|| secret.strip_prefix("ssm:"));
    let fits = name.is_some_and(|name| {
        (1..=512).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_+=.@-".contains(&b))
    });
    if !fits {
        context.report(
            Diagnostic::new(Code::PastedSecret, context.value(at), "this is not a reference to a secret")
                .help(REFERENCE_HELP),
        );
    }
    fits
}

/// Whether a URL is plain https with a public host and contains nothing that could be a secret.
fn check_url(url: &str, at: &At<'_>, context: &Context<'_>) -> bool {
    let wrong = |message: &str, help: &str| {
        context.report(Diagnostic::new(Code::InvalidWebhook, context.value(at), message).help(help));
        false
    };
    let pasted = |what: &str| {
        let message = format!("a webhook's URL must not carry {what}: everybody who reads this file could use it");
        context.report(Diagnostic::new(Code::PastedSecret, context.value(at), message).help(REFERENCE_HELP));
        false
    };
    if url.len() > URL_BYTES_MAX {
        return wrong("the URL is longer than 1,024 bytes", "use a shorter one");
    }
    // Possible secrets are checked first, whatever the scheme, because other messages show the line.
    let bare = url.split_once("://").map_or(url, |(_, rest)| rest);
    let end = bare.find(['/', '?', '#']).unwrap_or(bare.len());
    if bare[..end].contains('@') {
        return pasted("a user or a password");
    }
    if bare[end..].contains('?') {
        return pasted("a query");
    }
    let Some(rest) = url.strip_prefix("https://") else {
        let help = match url.strip_prefix("http://") {
            Some(_) => "use https: alerts tell where a fleet is weak",
            None => "a webhook looks like `https://host.example/path`",
        };
        return wrong("a webhook must be an `https://` URL", help);
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if path.contains('#') {
        return wrong("a webhook's URL must not have a fragment: it is never sent", "remove `#` and what follows");
    }
    if !path.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}'".contains(&byte)) {
        return wrong("the URL's path has characters that a URL does not have", "percent-encode them");
    }
    check_host(authority).is_none_or(|(message, help)| wrong(message, help))
}

/// What is wrong with a host and its port, and how to fix it.
fn check_host(authority: &str) -> Option<(&'static str, &'static str)> {
    const HOST: &str = "name a public host, as in `https://host.example/path`";
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            (host, after.strip_prefix(':'))
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    if port.is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port == 0) || port.parse::<u16>().is_err()) {
        return Some(("the URL's port is not a number from 1 to 65,535", "leave the port out, or mend it"));
    }
    const NOT_PUBLIC: &str = "the URL's host is not a public address; such a webhook is refused when it is sent";
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    if let Ok(address) = host.parse::<IpAddr>() {
        return not_public(address).map(|_| (NOT_PUBLIC, HOST));
    }
    if is_number(host.rsplit('.').next().unwrap_or_default()) {
        return Some(("the URL's host is an address in a form that is not read alike everywhere", HOST));
    }
    let label_fits = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if host.len() > 253 || !host.split('.').all(label_fits) {
        return Some(("the URL's host is not a host name", HOST));
    }
    let is_private = !host.contains('.') || PRIVATE_DOMAINS.iter().any(|domain| host.ends_with(domain));
    is_private.then_some((NOT_PUBLIC, HOST))
}

/// Domains without a public address: `localhost` and `local` are special-use names (RFC 6761, RFC 6762), as is
/// `home.arpa` (RFC 8375); `internal` is reserved for private use; and `localdomain` is a common local default.
const PRIVATE_DOMAINS: [&str; 5] = [".localhost", ".localdomain", ".local", ".internal", ".home.arpa"];

/// Whether the last label of a host makes it an IPv4 address, as in a browser: `127.1` is 127.0.0.1.
fn is_number(label: &str) -> bool {
    let hexadecimal = |digits: &str| digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    !label.is_empty() && label.bytes().all(|digit| digit.is_ascii_digit())
        || label.strip_prefix("0x").is_some_and(hexadecimal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_public() {
        for good in [
            "host.example",
            "Host.Example.",
            "host.example:8443",
            "local.example",
            "1.2.0x.example",
            "203.0.113.9",
            "[2606:4700::1111]:443",
        ] {
            assert_eq!(check_host(good), None, "{good}");
        }
        for bad in [
            "",
            "localhost",
            "127.0.0.1",
            "10.1.2.3",
            "169.254.169.254",
            "100.64.0.1",
            "[::1]",
            "[fd00::1]",
            "a b",
            "host:0",
            "host:x",
            "[::ffff:10.0.0.1]",
            "[64:ff9b::7f00:1]",
            "127.0.0.1.",
            "127.1",
            "2130706433",
            "0x7f000001",
            "host.0X7F",
            "0177.0.0.1",
            "999.1.1.1",
            "ip6-localhost",
            "LOCALHOST.localdomain",
            "printer.local",
            "metadata.google.internal",
        ] {
            assert!(check_host(bad).is_some(), "{bad}");
        }
    }
}
