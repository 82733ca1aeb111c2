// SPDX-License-Identifier: MIT OR Apache-2.0

//! The interrupt controller. EL3 leaves the shared interrupts in Group 1 Non-secure and disabled; all
//! else is the host's to do.

use core::ptr::NonNull;

use arm_gic::gicv3::registers::{Gicd, GicrSgi};
use arm_gic::gicv3::{GicCpuInterface, GicRedistributorIterator, GicV3};
use arm_gic::{IntId, InterruptGroup, Trigger, UniqueMmioPointer};
use heapless::Vec;

use crate::arch;
use crate::lock::Locked;
use crate::platform;

/// Most CPUs that the image works with.
pub const MAX_CPUS: usize = 8;

/// The EL2 physical timer.
pub const TIMER: IntId = IntId::ppi(10);

static GIC: Locked<Option<GicV3<'static>>> = Locked::new(None);

/// Sets the controller up and lets this CPU, the boot CPU, take interrupts. Called once. Returns the
/// affinities of all CPUs.
pub fn set_up() -> Vec<u64, MAX_CPUS> {
    let gicd = NonNull::new(platform::GICD as *mut Gicd).expect("not zero");
    let gicr = NonNull::new(platform::GICR as *mut GicrSgi).expect("not zero");
    // SAFETY: the redistributors lie there one after the other, mapped as device memory up to the one
    // that says it is the last. The iterator is gone before anything else uses them.
    let affinities: Vec<u64, MAX_CPUS> = match unsafe { GicRedistributorIterator::new(gicr) } {
        Ok(redistributors) => redistributors
            .map(|redistributor| redistributor.typer().core_mpidr())
            .take(MAX_CPUS)
            .collect(),
        Err(error) => fail!("GIC: {error}"),
    };
    // SAFETY: the distributor lies there, mapped as device memory, and nothing else uses it.
    let gicd = unsafe { UniqueMmioPointer::new(gicd) };
    // SAFETY: as above; the iterator has seen that many redistributors.
    let mut gic = match unsafe { GicV3::new(gicd, gicr, affinities.len()) } {
        Ok(gic) => gic,
        Err(error) => fail!("GIC: {error}"),
    };
    GicCpuInterface::enable_system_register_el2(true);
    gic.setup(0);
    GicCpuInterface::set_priority_mask(0xFF);
    // Above all others: it must end a sleep even while another interrupt is being handled.
    let timer = gic
        .set_interrupt_priority(TIMER, Some(0), 0)
        .and_then(|()| gic.enable_interrupt(TIMER, Some(0), true));
    if let Err(error) = timer {
        fail!("GIC: the timer: {error}");
    }
    GIC.with(|slot| *slot = Some(gic));
    arch::route_interrupts_here();
    arch::unmask_interrupts();
    affinities
}

/// Returns the address to which a device writes the number of a shared interrupt to raise it, if the
/// controller has one.
pub fn doorbell() -> Option<u64> {
    let has_one = GIC.with(|gic| gic.as_ref().is_some_and(|gic| gic.typer().mpis_supported()));
    let offset = core::mem::offset_of!(Gicd, setspi_nsr);
    has_one.then_some((platform::GICD + offset) as u64)
}

/// Delivers the shared interrupt `number` to this CPU.
///
/// By edge: the SMMU pulses its interrupts, and a pulse on a level-sensitive input is lost. An MSI is a
/// pulse too.
pub fn enable(number: u32) {
    let intid = match IntId::try_from(number) {
        Ok(intid) if intid.is_spi() => intid,
        _ => fail!("INTID {number} is no shared interrupt"),
    };
    let result = GIC.with(|gic| {
        let distributor = gic.as_mut().expect("set up first").distributor();
        distributor.set_trigger(intid, Trigger::Edge)?;
        distributor.set_routing(intid, Some(arch::affinity()))?;
        distributor.enable_interrupt(intid, true)
    });
    if let Err(error) = result {
        fail!("GIC: INTID {number}: {error}");
    }
}

/// Takes the pending interrupt with the highest priority. Until [`end`] a new edge makes it pending
/// again and does not get through.
pub fn acknowledge() -> Option<IntId> {
    GicCpuInterface::get_and_acknowledge_interrupt(InterruptGroup::Group1)
}

/// Ends an acknowledged interrupt.
pub fn end(intid: IntId) {
    GicCpuInterface::end_interrupt(intid, InterruptGroup::Group1);
}

/// Returns the interrupt that waits to be taken.
pub fn waiting() -> Option<IntId> {
    GicCpuInterface::get_pending_interrupt(InterruptGroup::Group1)
}
