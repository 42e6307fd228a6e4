//! Checks the protocol of leases (`cairn_model`) with stateright.

pub mod invariants;
