//! Many short keys in one piece of memory.

/// A sequence of byte strings, packed, so that a node is copied with two moves of memory and
/// searched without leaving it.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    bytes: Vec<u8>,
    /// Where each key ends in `bytes`.
    ends: Vec<usize>,
}

impl Clone for Keys {
    /// Leaves room for one more key: a node is copied because it is about to change.
    fn clone(&self) -> Self {
        let spare = self.bytes.len() / self.ends.len().max(1) + 16;
        let mut bytes = Vec::with_capacity(self.bytes.len() + spare);
        bytes.extend_from_slice(&self.bytes);
        let mut ends = Vec::with_capacity(self.ends.len() + 1);
        ends.extend_from_slice(&self.ends);
        Self { bytes, ends }
    }
}

impl Keys {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of all keys.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes of memory held.
    #[cfg(test)]
    pub(crate) fn heap_bytes(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * size_of::<usize>()
    }

    fn start(&self, at: usize) -> usize {
        if at == 0 { 0 } else { self.ends[at - 1] }
    }

    pub(crate) fn key(&self, at: usize) -> &[u8] {
        &self.bytes[self.start(at)..self.ends[at]]
    }

    /// The place of `key`, or the place it would take.
    pub(crate) fn search(&self, key: &[u8]) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.key(middle).cmp(key) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Ok(middle),
            }
        }
        Err(low)
    }

    /// How many keys are not above `key`.
    pub(crate) fn not_above(&self, key: &[u8]) -> usize {
        match self.search(key) {
            Ok(at) => at + 1,
            Err(at) => at,
        }
    }

    pub(crate) fn insert(&mut self, at: usize, key: &[u8]) {
        // Grown in small steps: nodes are many, and doubling would leave a third of them empty.
        if self.ends.len() == self.ends.capacity() {
            self.ends.reserve_exact(4);
        }
        if self.bytes.capacity() - self.bytes.len() < key.len() {
            self.bytes.reserve_exact(key.len() * 2 + 32);
        }
        let start = self.start(at);
        self.bytes.extend_from_slice(key);
        self.bytes[start..].rotate_right(key.len());
        self.ends.insert(at, start);
        for end in &mut self.ends[at..] {
            *end += key.len();
        }
    }

    pub(crate) fn remove(&mut self, at: usize) {
        let (start, end) = (self.start(at), self.ends[at]);
        self.bytes.drain(start..end);
        self.ends.remove(at);
        for later in &mut self.ends[at..] {
            *later -= end - start;
        }
    }

    /// Cuts the keys from `at` on off and returns them.
    pub(crate) fn split_off(&mut self, at: usize) -> Self {
        let start = self.start(at);
        let bytes = self.bytes.split_off(start);
        let mut ends = self.ends.split_off(at);
        for end in &mut ends {
            *end -= start;
        }
        self.bytes.shrink_to_fit();
        self.ends.shrink_to_fit();
        Self { bytes, ends }
    }

    pub(crate) fn append(&mut self, other: &Self) {
        let base = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        self.ends.extend(other.ends.iter().map(|end| end + base));
    }
}
