//! Reads that give wrong bytes.

use super::state::{Effect, State, sectors};
use super::{Injected, Misread, Op};
use std::ops::Range;
use std::sync::Arc;

/// How often another sector is drawn before a read is let off.
const DRAWS_MAX: usize = 16;

impl State {
    /// Spoils what was read from `offset` of a file on, or, if it cannot, the next read.
    pub(super) fn misread(&mut self, how: Misread, file: u64, offset: usize, read: &mut [u8]) {
        let done = match how {
            Misread::Flip => self.flip(offset, read),
            Misread::Stale => self.stale(file, offset, read),
            Misread::Misdirected => self.misdirect(offset, read),
        };
        if done {
            self.note(Injected::Misread(how));
        } else {
            self.faults.push((Op::Read, 1, Effect::Misread(how)));
        }
    }

    fn flip(&mut self, offset: usize, read: &mut [u8]) -> bool {
        let pieces = pieces(self.sector, offset, read);
        let used = |piece: &&Range<usize>| read[(*piece).clone()].iter().any(|byte| *byte != 0);
        let in_use: Vec<Range<usize>> = pieces.iter().filter(used).cloned().collect();
        let Some(piece) = self.pick(if in_use.is_empty() { &pieces } else { &in_use }) else {
            return false;
        };
        let byte = piece.start + self.below(piece.len());
        read[byte] ^= 1 << self.below(8);
        true
    }

    fn stale(&mut self, file: u64, offset: usize, read: &mut [u8]) -> bool {
        let file = Arc::clone(&self.files[&file]);
        let before = |at: usize| file.older.get(offset + at).copied().unwrap_or(0);
        let changed = |piece: &Range<usize>| piece.clone().any(|at| read[at] != before(at));
        let mut pieces = pieces(self.sector, offset, read);
        pieces.retain(changed);
        let piece = self.pick(&pieces);
        if let Some(piece) = &piece {
            piece.clone().for_each(|at| read[at] = before(at));
        }
        piece.is_some()
    }

    fn misdirect(&mut self, offset: usize, read: &mut [u8]) -> bool {
        let pieces = pieces(self.sector, offset, read);
        let ids: Vec<u64> = self.files.keys().copied().collect();
        for _ in 0..DRAWS_MAX {
            let Some(piece) = self.pick(&pieces) else { return false };
            let Some(id) = self.pick(&ids) else { return false };
            let sectors = self.file(id).durable.len() / self.sector;
            if sectors == 0 {
                continue;
            }
            let from = self.below(sectors) * self.sector + (offset + piece.start) % self.sector;
            let other = &self.file(id).durable[from..from + piece.len()];
            if read[piece.clone()] != *other {
                read[piece].copy_from_slice(other);
                return true;
            }
        }
        false
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        (!from.is_empty()).then(|| from[self.below(from.len())].clone())
    }
}

/// The sectors of what was read at `offset`, as ranges of what was read.
fn pieces(sector: usize, offset: usize, read: &[u8]) -> Vec<Range<usize>> {
    let pieces = sectors(sector, offset..offset + read.len());
    pieces.map(|piece| piece.start - offset..piece.end - offset).collect()
}
