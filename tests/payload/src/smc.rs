// SPDX-License-Identifier: MIT OR Apache-2.0

//! The way to the RMM.

use psmmu_host::{Conduit, Rmi};

/// Makes the calls of the host driver by `smc #0`.
#[derive(Clone, Copy)]
pub struct Smc;

impl Conduit for Smc {
    fn call(&self, x: [u64; 8]) -> [u64; 8] {
        let mut wide = [0; 18];
        wide[..8].copy_from_slice(&x);
        let answer = call_wide(wide);
        core::array::from_fn(|register| answer[register])
    }
}

/// The RMM.
pub const RMI: Rmi<Smc> = Rmi::new(Smc);

/// Makes a call with all registers that SMCCC 1.2 names, X0 to X17.
pub fn call_wide(x: [u64; 18]) -> [u64; 18] {
    let mut arguments = [0; 17];
    arguments.copy_from_slice(&x[1..]);
    // EL3 reads W0 alone.
    smccc::smc64(x[0] as u32, arguments)
}
