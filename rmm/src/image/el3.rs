// SPDX-License-Identifier: MIT OR Apache-2.0

//! Calls to EL3 that return.

use smccc::smc64;

/// `GTSI_DELEGATE`: X1 a granule of the host, which becomes one of the Realm world. Interface 0.1 on.
const GTSI_DELEGATE: u32 = 0xC400_01B0;

/// `GTSI_UNDELEGATE`: the other way.
const GTSI_UNDELEGATE: u32 = 0xC400_01B1;

/// What EL3 answers instead of success: a negative number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct El3Error(pub i64);

/// Gives the granule at PA `address` to the Realm world.
pub fn delegate(address: u64) -> Result<(), El3Error> {
    call(GTSI_DELEGATE, address)
}

/// Gives the granule at PA `address` back.
pub fn undelegate(address: u64) -> Result<(), El3Error> {
    call(GTSI_UNDELEGATE, address)
}

fn call(function: u32, address: u64) -> Result<(), El3Error> {
    let mut arguments = [0; 17];
    arguments[0] = address;
    let [result, ..] = smc64(function, arguments);
    if result == 0 { Ok(()) } else { Err(El3Error(result as i64)) }
}
