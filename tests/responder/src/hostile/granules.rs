// SPDX-License-Identifier: MIT OR Apache-2.0

//! A hostile host moves granules.

use super::reference::{Owner, granules};
use super::{Host, PAGES, POOL};
use crate::Pas;
use crate::raw::{fid, x0};
use rmm::delegate::BATCH;

impl Host {
    pub(super) fn range(&mut self) -> (u64, u64) {
        let base = self.granule();
        let granules = if self.numbers.once_in(4) { self.numbers.below(100) } else { 4 };
        let (odd, end) = (self.numbers.once_in(30), base.wrapping_add(granules * 0x1000));
        if odd { (base + 8, end) } else { (base, end) }
    }

    /// Moves granules, and notes how far the RMM came.
    pub(super) fn move_range(&mut self, function: u64, (base, top): (u64, u64)) {
        let interrupt = self.numbers.once_in(4).then(|| self.numbers.below(4) as u32);
        self.machine.harness.interrupt_after(interrupt);
        let [x0, end, x2, x3] = self.call(function, &[base, top]);
        self.machine.harness.interrupt_after(None);
        assert_eq!((x2, x3), (0, 0));
        if x0 != x0::SUCCESS {
            assert_eq!((x0, end), (x0::INPUT, base));
            return;
        }
        assert!(end > base && end <= top && end.is_multiple_of(0x1000), "{base:#x} to {end:#x}");
        assert!(end - base <= BATCH * 0x1000, "{base:#x} to {end:#x}");
        assert!(interrupt != Some(0) || end == base + 0x1000, "an interrupt has to wait");
        for granule in granules((base, (end - base) / 0x1000)) {
            let owner = match function {
                fid::RANGE_DELEGATE => self.reference.owners.insert(granule, Owner::Idle),
                _ => {
                    if granule >= POOL.0 || PAGES.contains(&granule) {
                        assert_eq!(self.machine.host.page(granule), [0; 512], "{granule:#x}");
                    }
                    let owner = self.reference.owners.remove(&granule);
                    assert_eq!(owner, Some(Owner::Idle), "{granule:#x} is undelegated");
                    None
                }
            };
            assert_eq!(owner, None, "{granule:#x} is delegated");
        }
    }

    pub(super) fn delegate(&mut self) {
        let range = self.range();
        if self.numbers.once_in(2) && POOL.0 <= range.0 && !range.0.is_multiple_of(0x1000) {
            return;
        }
        self.move_range(fid::RANGE_DELEGATE, range);
    }

    pub(super) fn undelegate(&mut self) {
        let range = self.range();
        self.move_range(fid::RANGE_UNDELEGATE, range);
    }

    /// Moves a page out of Non-secure PAS or back.
    pub(super) fn move_page(&mut self) {
        let page = self.one_of(&PAGES).expect("some");
        let function = match self.machine.host.pas(page) {
            Pas::NonSecure if !self.numbers.once_in(3) => return,
            Pas::NonSecure => fid::RANGE_DELEGATE,
            _ => fid::RANGE_UNDELEGATE,
        };
        self.move_range(function, (page, page + 0x1000));
    }
}
