//! The index of each device of a shard, by its id.

use std::hash::BuildHasher as _;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::state::Device;

/// Maps device ids to indexes into their list. In a large fleet, a record finds no device in a cache, so an entry is
/// small: the ids themselves are stored with the devices, and a part of their hash stands for them here.
#[derive(Debug, Default)]
pub(crate) struct Index {
    places: HashTable<Place>,
    /// The same in every process. Only a registration adds a device, and only the platform's operators register
    /// devices, so no one else can choose ids that collide.
    hasher: FixedState,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    /// The part of the hash that the table itself does not compare.
    mark: u32,
    device: u32,
}

/// The hash of an id.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hash(u64);

impl Hash {
    fn mark(self) -> u32 {
        (self.0 >> 20) as u32
    }
}

impl Index {
    /// Creates an index of these devices.
    pub(crate) fn of(devices: &[Device]) -> Self {
        let mut index = Self { places: HashTable::with_capacity(devices.len()), ..Self::default() };
        for device in 0..devices.len() {
            index.insert(device as u32, devices);
        }
        index
    }

    pub(crate) fn hash(&self, id: &str) -> Hash {
        Hash(self.hasher.hash_one(id))
    }

    /// Returns the index of a device.
    #[inline]
    pub(crate) fn find(&self, id: &str, devices: &[Device]) -> Option<u32> {
        let hash = self.hash(id);
        let is_it = |place: &Place| place.mark == hash.mark() && id_at(place.device, devices) == id;
        self.places.find(hash.0, is_it).map(|place| place.device)
    }

    /// Returns the index that an id with this hash almost certainly has, if any. No device is read.
    #[inline]
    pub(crate) fn guess(&self, hash: Hash) -> Option<u32> {
        self.places.find(hash.0, |place| place.mark == hash.mark()).map(|place| place.device)
    }

    /// Adds the device at an index. If several have the same id, the last is found.
    pub(crate) fn insert(&mut self, device: u32, devices: &[Device]) {
        let id = id_at(device, devices);
        let hash = self.hash(id);
        let place = Place { mark: hash.mark(), device };
        let is_it = |other: &Place| other.mark == place.mark && id_at(other.device, devices) == id;
        match self.places.find_mut(hash.0, is_it) {
            Some(known) => *known = place,
            None => {
                let hasher = &self.hasher;
                let hash_of = |place: &Place| hasher.hash_one(id_at(place.device, devices));
                self.places.insert_unique(hash.0, place, hash_of);
            }
        }
    }

    /// Removes the device at an index, while it is still in the list.
    pub(crate) fn remove(&mut self, device: u32, devices: &[Device]) {
        let hash = self.hash(id_at(device, devices));
        if let Ok(found) = self.places.find_entry(hash.0, |place| place.device == device) {
            found.remove();
        }
    }
}

fn id_at(device: u32, devices: &[Device]) -> &str {
    devices.get(device as usize).map_or("", |device| device.registration.id.as_str())
}
