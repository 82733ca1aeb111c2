// SPDX-License-Identifier: MIT OR Apache-2.0

//! Event records (IHI 0070, "Event queue recorded faults and events").

use std::fmt;

/// An event record, four words.
///
/// ```
/// use std::fmt;
/// use smmu_model::{Class, Record};
///
/// let record = Record::translation(0x10).stage_2(Class::Input).read().input(0xDEAD_B000).ipa(0xDEAD_B000);
/// assert_eq!(record.0, [0x10_0000_0010, 0x288_0000_0000, 0xDEAD_B000, 0xDEAD_B000]);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Record(pub [u64; 4]);

impl fmt::Debug for Record {
    /// Prints number, StreamID and the four words, all in hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [d0, d1, d2, d3] = self.0;
        let (number, stream) = (self.number(), self.stream());
        write!(
            f,
            "Record({number:#04x}, stream {stream:#x}: {d0:#018x} {d1:#018x} {d2:#018x} {d3:#018x})"
        )
    }
}

/// Event numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventNumber {
    /// F_UUT: an unsupported upstream transaction.
    Uut = 0x01,
    /// C_BAD_STREAMID: the StreamID is outside the stream table.
    BadStreamId = 0x02,
    /// F_STE_FETCH: an abort while a stream table entry was fetched.
    SteFetch = 0x03,
    /// C_BAD_STE: the stream table entry is invalid.
    BadSte = 0x04,
    /// F_BAD_ATS_TREQ: an ATS translation request that is not allowed.
    BadAtsTreq = 0x05,
    /// F_STREAM_DISABLED: the stream needs a SubstreamID, or must not have that one.
    StreamDisabled = 0x06,
    /// F_TRANSL_FORBIDDEN: an ATS translated transaction that is not allowed.
    TranslForbidden = 0x07,
    /// C_BAD_SUBSTREAMID: the SubstreamID is out of range.
    BadSubstreamId = 0x08,
    /// F_CD_FETCH: an abort while a context descriptor was fetched.
    CdFetch = 0x09,
    /// C_BAD_CD: the context descriptor is invalid.
    BadCd = 0x0A,
    /// F_WALK_EABT: an abort while a translation table was read.
    WalkEabt = 0x0B,
    /// F_TRANSLATION: no translation.
    Translation = 0x10,
    /// F_ADDR_SIZE: the output address is too large.
    AddrSize = 0x11,
    /// F_ACCESS: the access flag is clear.
    Access = 0x12,
    /// F_PERMISSION: not allowed.
    Permission = 0x13,
    /// F_TLB_CONFLICT: TLB entries contradict each other.
    TlbConflict = 0x20,
    /// F_CFG_CONFLICT: cached configurations contradict each other.
    CfgConflict = 0x21,
    /// E_PAGE_REQUEST: a hint that a page will be used.
    PageRequest = 0x24,
    /// F_VMS_FETCH: an abort while a virtual machine structure was fetched.
    VmsFetch = 0x25,
}

/// What a fault came up for, CLASS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// CD: the fetch of a context descriptor.
    ContextDescriptor = 0,
    /// TT: the walk of a stage-1 table.
    Table = 1,
    /// IN: the address of the transaction.
    Input = 2,
}

impl Record {
    /// Makes a record with a number of your own, such as a reserved one.
    #[must_use]
    pub const fn raw(number: u8, stream: u32) -> Self {
        Self([number as u64 | (stream as u64) << 32, 0, 0, 0])
    }

    /// Makes a record.
    #[must_use]
    pub const fn new(number: EventNumber, stream: u32) -> Self {
        Self::raw(number as u8, stream)
    }

    /// Makes a C_BAD_STREAMID.
    #[must_use]
    pub const fn bad_stream_id(stream: u32) -> Self {
        Self::new(EventNumber::BadStreamId, stream)
    }

    /// Makes a C_BAD_STE.
    #[must_use]
    pub const fn bad_ste(stream: u32) -> Self {
        Self::new(EventNumber::BadSte, stream)
    }

    /// Makes an F_STE_FETCH.
    #[must_use]
    pub const fn ste_fetch(stream: u32, address: u64) -> Self {
        Self::new(EventNumber::SteFetch, stream).fetch(address)
    }

    /// Makes an F_TRANSLATION.
    #[must_use]
    pub const fn translation(stream: u32) -> Self {
        Self::new(EventNumber::Translation, stream)
    }

    /// Makes an F_PERMISSION.
    #[must_use]
    pub const fn permission(stream: u32) -> Self {
        Self::new(EventNumber::Permission, stream)
    }

    /// Makes the F_TRANSLATION of a write at stage 2, its IPA being the page of its input address.
    #[must_use]
    pub const fn stage_2_write(stream: u32, address: u64) -> Self {
        Self::translation(stream).stage_2(Class::Input).input(address).ipa(address)
    }

    const fn set(mut self, word: usize, bits: u64) -> Self {
        self.0[word] |= bits;
        self
    }

    /// Adds SSV and SubstreamID.
    #[must_use]
    pub const fn substream(self, substream: u32) -> Self {
        self.set(0, 1 << 11 | (substream as u64 & 0xF_FFFF) << 12)
    }

    /// Adds Reason, 16 bits.
    #[must_use]
    pub const fn reason(self, reason: u16) -> Self {
        self.set(1, reason as u64)
    }

    /// Adds GPCF: the granule protection check stopped the fetch.
    #[must_use]
    pub const fn gpcf(self) -> Self {
        self.set(1, 1 << 16)
    }

    /// Adds PnU: privileged.
    #[must_use]
    pub const fn privileged(self) -> Self {
        self.set(1, 1 << 33)
    }

    /// Adds InD and RnW: an instruction fetch.
    #[must_use]
    pub const fn instruction(self) -> Self {
        self.set(1, 1 << 34).read()
    }

    /// Adds RnW: a read. Without it, a write.
    #[must_use]
    pub const fn read(self) -> Self {
        self.set(1, 1 << 35)
    }

    /// Adds S2 and CLASS.
    #[must_use]
    pub const fn stage_2(self, class: Class) -> Self {
        self.set(1, 1 << 39).class(class)
    }

    /// Adds CLASS.
    #[must_use]
    pub const fn class(self, class: Class) -> Self {
        self.set(1, (class as u64) << 40)
    }

    /// Adds TTRnW: the walk was a read.
    #[must_use]
    pub const fn table_read(self) -> Self {
        self.set(1, 1 << 44)
    }

    /// Adds InputAddr.
    #[must_use]
    pub const fn input(self, address: u64) -> Self {
        self.set(2, address)
    }

    /// Adds IPA, bits 55:12 of `address`.
    #[must_use]
    pub const fn ipa(self, address: u64) -> Self {
        self.set(3, address & 0x00FF_FFFF_FFFF_F000)
    }

    /// Adds FetchAddr, bits 55:3 of `address`.
    #[must_use]
    pub const fn fetch(self, address: u64) -> Self {
        self.set(3, address & 0x00FF_FFFF_FFFF_FFF8)
    }

    /// Returns the event number.
    #[must_use]
    pub const fn number(&self) -> u8 {
        self.0[0] as u8
    }

    /// Returns the StreamID.
    #[must_use]
    pub const fn stream(&self) -> u32 {
        (self.0[0] >> 32) as u32
    }

    /// Returns InputAddr.
    #[must_use]
    pub const fn input_address(&self) -> u64 {
        self.0[2]
    }

    /// Returns Stall. The Realm side never stalls.
    #[must_use]
    pub const fn stalls(&self) -> bool {
        self.0[1] & 1 << 31 != 0
    }

    /// Returns whether a device may merge the record with an equal one although no stream table entry
    /// allows it: there is no valid entry to ask (IHI 0070, "Event merging").
    pub(crate) const fn merges_always(&self) -> bool {
        matches!(self.number(), 0x01..=0x04)
    }

    /// Returns whether the two differ in nothing but InputAddr\[11:0\].
    pub(crate) fn equals(&self, other: &Self) -> bool {
        let page = |record: &Self| {
            let [d0, d1, d2, d3] = record.0;
            [d0, d1, d2 & !0xFFF, d3]
        };
        page(self) == page(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_those_of_the_worked_values() {
        let table = [
            (Record::bad_stream_id(0x1234), [0x0000_1234_0000_0002, 0, 0, 0]),
            (Record::bad_ste(8).substream(5), [0x0000_0008_0000_5804, 0, 0, 0]),
            (
                Record::ste_fetch(8, 0x8000_1040).reason(0x21).gpcf(),
                [0x0000_0008_0000_0003, 0x1_0021, 0, 0x8000_1040],
            ),
            (
                Record::translation(0x10)
                    .stage_2(Class::Input)
                    .read()
                    .input(0xDEAD_B000)
                    .ipa(0xDEAD_B000),
                [0x0000_0010_0000_0010, 0x0000_0288_0000_0000, 0xDEAD_B000, 0xDEAD_B000],
            ),
            (
                Record::permission(0x10)
                    .stage_2(Class::Table)
                    .table_read()
                    .input(0x4000)
                    .ipa(0x9000),
                [0x0000_0010_0000_0013, 0x0000_1180_0000_0000, 0x4000, 0x9000],
            ),
        ];
        for (record, words) in table {
            assert_eq!(record.0, words);
        }
    }

    #[test]
    fn flags_lie_where_the_architecture_has_them() {
        let d1 = |record: Record| record.0[1];
        let record = Record::translation(0);
        assert_eq!(d1(record.privileged()), 1 << 33);
        assert_eq!(d1(record.instruction()), 1 << 34 | 1 << 35, "InD is 0 for a write");
        assert_eq!(d1(record.class(Class::ContextDescriptor)), 0);
        assert!(Record([0, 1 << 31, 0, 0]).stalls());
        assert_eq!(Record::raw(0xE0, 7).number(), 0xE0);
        assert_eq!(record.fetch(u64::MAX).0[3], 0x00FF_FFFF_FFFF_FFF8);
        assert_eq!(record.ipa(u64::MAX).0[3], 0x00FF_FFFF_FFFF_F000);
    }

    #[test]
    fn equal_records_may_differ_in_the_offset_within_the_page() {
        let record = |address| Record::stage_2_write(8, address);
        assert!(record(0x1008).equals(&record(0x1FF8)));
        assert!(!record(0x1008).equals(&record(0x2008)));
    }
}
