// SPDX-License-Identifier: MIT OR Apache-2.0

//! Commands: what is put into the command queue, and why the device has stopped at one (IHI 0070, 4).

#![forbid(unsafe_code)]

/// Opcodes, bits 7:0 of the first word (IHI 0070, 4.1).
struct Opcode;

impl Opcode {
    const CFGI_STE: u64 = 0x03;
    /// With Range = 31.
    const CFGI_ALL: u64 = 0x04;
    const TLBI_EL2_ALL: u64 = 0x20;
    const TLBI_S12_VMALL: u64 = 0x28;
    const TLBI_S2_IPA: u64 = 0x2A;
    const TLBI_NSNH_ALL: u64 = 0x30;
    const PRI_RESP: u64 = 0x41;
    const SYNC: u64 = 0x46;
}

/// A command, two words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command([u64; Self::WORDS]);

impl Command {
    /// 64-bit words of a command.
    pub const WORDS: usize = 2;

    /// Takes the two words of a command, the first one lowest.
    pub(crate) const fn from_words(words: [u64; Self::WORDS]) -> Self {
        Self(words)
    }

    /// CMD_CFGI_ALL: drops all cached configuration.
    pub const CFGI_ALL: Self = Self([Opcode::CFGI_ALL, 0x1F]);
    /// CMD_CFGI_STE with Leaf = 0: drops what is cached of the entry of `stream`, and of the level-1
    /// descriptor that finds it.
    #[must_use]
    pub const fn cfgi_ste_and_table(stream: u32) -> Self {
        Self([Opcode::CFGI_STE | (stream as u64) << 32, 0])
    }

    /// CMD_CFGI_STE with Leaf = 1: drops what is cached of the entry of `stream`.
    #[must_use]
    pub const fn cfgi_ste(stream: u32) -> Self {
        const LEAF: u64 = 1;
        Self([Opcode::CFGI_STE | (stream as u64) << 32, LEAF])
    }

    /// CMD_TLBI_S12_VMALL: drops all translations of `vmid`.
    #[must_use]
    pub const fn tlbi_s12_vmall(vmid: u16) -> Self {
        Self([Opcode::TLBI_S12_VMALL | (vmid as u64) << 32, 0])
    }

    /// CMD_TLBI_S2_IPA: drops the stage-2 translations of `vmid` for the page or block of `ipa`, bits 55:12;
    /// with `leaf` those of the last level only.
    #[must_use]
    pub const fn tlbi_s2_ipa(vmid: u16, ipa: u64, leaf: bool) -> Self {
        const ADDRESS: u64 = 0x00FF_FFFF_FFFF_F000;
        let first = Opcode::TLBI_S2_IPA | (vmid as u64) << 32;
        Self([first, ipa & ADDRESS | leaf as u64])
    }

    /// CMD_TLBI_EL2_ALL: drops all translations of EL2. Only where IDR0.Hyp says that there are any.
    pub const TLBI_EL2_ALL: Self = Self([Opcode::TLBI_EL2_ALL, 0]);
    /// CMD_TLBI_NSNH_ALL: drops all translations of EL1 and EL0 of this world.
    pub const TLBI_NSNH_ALL: Self = Self([Opcode::TLBI_NSNH_ALL, 0]);
    /// CMD_CFGI_STE with SSec = 1, which a Realm command queue refuses with CERROR_ILL (IHI 0070, 4.1.6): a
    /// command whose only effect is the interrupt for the error.
    pub(crate) const ILLEGAL: Self = Self([Opcode::CFGI_STE | 1 << 10, 0]);

    /// CMD_SYNC with CS = 0: done when CONS has passed it.
    pub const SYNC: Self = Self([Opcode::SYNC, 0]);

    /// CMD_SYNC with CS = 1: when it is done the device writes `data` to the word at PA `address` of
    /// Realm memory, a multiple of 4, as inner shareable write-back memory.
    #[must_use]
    pub(crate) const fn sync_msi(address: u64, data: u32) -> Self {
        const INTERRUPT: u64 = 1 << 12;
        const INNER_SHAREABLE: u64 = 3 << 22;
        const WRITE_BACK: u64 = 0xF << 24;
        const ADDRESS: u64 = 0x00FF_FFFF_FFFF_FFFC;
        let first = Opcode::SYNC | INTERRUPT | INNER_SHAREABLE | WRITE_BACK | (data as u64) << 32;
        Self([first, address & ADDRESS])
    }

    /// CMD_PRI_RESP with Resp = InvalidRequest: denies a group of page requests, and leaves the page request
    /// interface of the function as it is.
    #[must_use]
    pub const fn pri_invalid_request(stream: u32, substream: Option<u32>, group: u16) -> Self {
        const HAS_SUBSTREAM: u64 = 1 << 11;
        const SUBSTREAM_SHIFT: u32 = 12;
        const STREAM_SHIFT: u32 = 32;
        const INVALID_REQUEST: u64 = 1 << 12;
        let substream = match substream {
            Some(substream) => HAS_SUBSTREAM | (substream as u64 & 0xF_FFFF) << SUBSTREAM_SHIFT,
            None => 0,
        };
        let first = Opcode::PRI_RESP | substream | (stream as u64) << STREAM_SHIFT;
        Self([first, group as u64 & 0x1FF | INVALID_REQUEST])
    }

    /// Returns the two words, the first one lowest.
    #[must_use]
    pub const fn words(&self) -> [u64; Self::WORDS] {
        self.0
    }
}

/// Why the device has stopped at the command at CONS: CMDQ_CONS bits 30:24, ERR (IHI 0070, 7.1).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct CmdqError(u32);

impl CmdqError {
    /// No error.
    pub(crate) const NONE: Self = Self(0);
    /// The command is illegal.
    pub(crate) const ILL: Self = Self(1);
    /// The command could not be fetched; the device tries again.
    pub(crate) const ABT: Self = Self(2);
    /// A SYNC found that an earlier ATC invalidation timed out; the device runs it again.
    pub(crate) const ATC_INV_SYNC: Self = Self(3);

    /// Takes it out of CMDQ_CONS.
    pub(crate) const fn of_cons(cons: u32) -> Self {
        Self(cons >> 24 & 0x7F)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_have_the_words_of_the_architecture() {
        assert_eq!(Command::SYNC.words(), [0x46, 0]);
        assert_eq!(Command::CFGI_ALL.words(), [0x04, 0x1F]);
        assert_eq!(
            Command::sync_msi(0x8000_2000, 0xAB).words(),
            [0x0000_00AB_0FC0_1046, 0x8000_2000]
        );
        let denied = Command::pri_invalid_request(8, Some(3), 0x1F);
        assert_eq!(denied.words(), [0x0000_0008_0000_3841, 0x101F]);
        assert_eq!(Command::cfgi_ste(8).words(), [0x0000_0008_0000_0003, 1]);
        assert_eq!(Command::cfgi_ste_and_table(8).words(), [0x0000_0008_0000_0003, 0]);
        assert_eq!(Command::tlbi_s12_vmall(0x1234).words(), [0x0000_1234_0000_0028, 0]);
        let by_ipa = Command::tlbi_s2_ipa(0x1234, 0x4567_89AB, true);
        assert_eq!(by_ipa.words(), [0x0000_1234_0000_002A, 0x4567_8001]);
    }
}
