//! What is broken: places of a file where an error was found. Something is there, and nobody knows what, so nothing is
//! said of what depends on it.

use std::collections::BTreeSet;

/// Places, as JSON pointers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Broken(BTreeSet<String>);

impl Broken {
    /// Adds a place.
    pub(crate) fn add(&mut self, pointer: String) {
        self.0.insert(pointer);
    }

    /// Adds all places of another.
    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// The places in a table of the root, and all others.
    pub(crate) fn split(self, table: &str) -> (Self, Self) {
        let (inside, others) = self.0.into_iter().partition(|pointer| pointer.split('/').nth(1) == Some(table));
        (Self(inside), Self(others))
    }

    /// Whether there is no such place.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a place, something in it or something around it is broken.
    pub(crate) fn touches(&self, pointer: &str) -> bool {
        let around = pointer.match_indices('/').skip(1).map(|(end, _)| &pointer[..end]);
        let below = format!("{pointer}/");
        around.chain([pointer]).any(|place| self.0.contains(place))
            || self.0.range(below.clone()..).next().is_some_and(|next| next.starts_with(&below))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_broken_breaks_what_it_is_in_and_what_is_in_it() {
        let mut broken = Broken::default();
        broken.add("/device_types/pump/readings".to_owned());
        for pointer in [
            "/device_types",
            "/device_types/pump",
            "/device_types/pump/readings",
            "/device_types/pump/readings/state/type",
        ] {
            assert!(broken.touches(pointer), "{pointer}");
        }
        for pointer in ["/zones", "/device_types/pump-2", "/device_types/pump/read", "/device_types/pump/readings-2"] {
            assert!(!broken.touches(pointer), "{pointer}");
        }
    }
}
