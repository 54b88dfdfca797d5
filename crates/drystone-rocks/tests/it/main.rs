//! The store against the contract's suite, power cuts, damage and its own promises.

#[cfg(test)]
mod damage;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod promises;
#[cfg(test)]
mod suite;
