//! Things with small numbers that are used again.

use std::ops::{Index, IndexMut};

/// Place of a thing in a [`Slab`].
pub(crate) type Slot = u32;

#[derive(Debug)]
pub(crate) struct Slab<T> {
    slots: Vec<Option<T>>,
    free: Vec<Slot>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    pub(crate) fn insert(&mut self, value: T) -> Slot {
        if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = Some(value);
            return slot;
        }
        let slot = Slot::try_from(self.slots.len()).expect("memory ends before 2^32 things");
        self.slots.push(Some(value));
        slot
    }

    pub(crate) fn remove(&mut self, slot: Slot) -> Option<T> {
        let value = self.slots.get_mut(slot as usize)?.take()?;
        self.free.push(slot);
        Some(value)
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// The slots in use, ascending.
    pub(crate) fn slots(&self) -> impl Iterator<Item = Slot> + '_ {
        let used = self.slots.iter().zip(0..).filter(|(value, _)| value.is_some());
        used.map(|(_, slot)| slot)
    }
}

impl<T> Index<Slot> for Slab<T> {
    type Output = T;

    fn index(&self, slot: Slot) -> &T {
        self.slots[slot as usize].as_ref().expect("a slot is forgotten when it is freed")
    }
}

impl<T> IndexMut<Slot> for Slab<T> {
    fn index_mut(&mut self, slot: Slot) -> &mut T {
        self.slots[slot as usize].as_mut().expect("a slot is forgotten when it is freed")
    }
}
