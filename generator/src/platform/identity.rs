//! `[identity]`: how devices prove who they are.

use fleetform_engine::units::Millis;
use smol_str::SmolStr;

/// How devices prove who they are: one X.509 certificate each.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    /// The kind of a device's key.
    pub key: Key,
    /// The age at which a certificate is to be replaced.
    pub rotate_after: Option<Millis>,
    /// `identity.serial.pattern`, which a device id must match as a whole.
    pub serial_pattern: Option<SmolStr>,
}

/// The kind of a device's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// ECDSA on P-256.
    EcP256,
    /// RSA with 2,048 bits.
    Rsa2048,
}
