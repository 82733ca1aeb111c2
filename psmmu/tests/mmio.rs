// SPDX-License-Identifier: MIT OR Apache-2.0

//! Accesses to mapped pages, of which ordinary memory stands for the device's: what is written lies at the
//! register's offset of its page and nowhere else, and what lies there is read.

use std::ptr::NonNull;

use psmmu::registers::{Register32, Register64};
use psmmu::{MmioRegisters, Registers};

/// 64-bit words of a page of 64 KiB.
const WORDS: usize = 0x2000;
/// Words of all three pages, one behind the other.
const ALL: usize = 3 * WORDS;

#[test]
fn registers_are_accessed_at_their_place_of_their_page() {
    let memory = NonNull::from(Box::leak(Box::new([0_u64; ALL]))).cast::<u64>();
    let page = |index: usize| {
        // SAFETY: there are three pages in the memory.
        unsafe { memory.add(index * WORDS).cast::<u8>() }
    };
    // SAFETY: 1. The memory is 3 times 64 KiB and lives for good. 2. It stands for the pages of an SMMU.
    // 3. Only this test uses it, between its accesses.
    let registers = unsafe { MmioRegisters::new(page(0), page(1), page(2)) };
    let word = |index: usize| {
        // SAFETY: the index is below `ALL`.
        unsafe { memory.add(index).read_volatile() }
    };
    let set_word = |index: usize, value: u64| {
        // SAFETY: as above.
        unsafe { memory.add(index).write_volatile(value) }
    };
    let all = || (0..ALL).map(word);
    let holds_only = |index: usize, value: u64| {
        all().enumerate().all(|(at, word)| word == if at == index { value } else { 0 })
    };

    // IRQ_CTRL at 0x50 and GERRORN, the upper half at 0x64, of the first Realm page.
    registers.write32(Register32::IRQ_CTRL, 0x1234_5678);
    assert!(holds_only(WORDS + 0x50 / 8, 0x1234_5678));
    set_word(WORDS + 0x50 / 8, 0);
    registers.write32(Register32::GERRORN, 0x8765_4321);
    assert!(holds_only(WORDS + 0x60 / 8, 0x8765_4321 << 32));
    assert_eq!(registers.read32(Register32::GERRORN), 0x8765_4321);
    assert_eq!(registers.read32(Register32::GERROR), 0);
    set_word(WORDS + 0x60 / 8, 0);
    // EVENTQ_CONS, the upper half at 0xAC, of the second.
    registers.write32(Register32::EVENTQ_CONS, 5);
    assert!(holds_only(2 * WORDS + 0xA8 / 8, 5 << 32));
    set_word(2 * WORDS + 0xA8 / 8, 0);
    // EVENTQ_BASE, at 0xA0 of the first, in one piece.
    registers.write64(Register64::EVENTQ_BASE, 0x1122_3344_5566_7788);
    assert!(holds_only(WORDS + 0xA0 / 8, 0x1122_3344_5566_7788));
    // IDR5, the upper half at 0x14, of the Non-secure page.
    set_word(0x10 / 8, 6 << 32);
    assert_eq!(registers.read32(Register32::NS_IDR5), 6);
}
