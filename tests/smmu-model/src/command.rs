// SPDX-License-Identifier: MIT OR Apache-2.0

//! Commands: two words each, their fields, and which of them a Realm command queue takes (IHI 0070,
//! "Commands").

use crate::Config;

/// A command.
///
/// Range fields of TLB invalidations (NUM, SCALE, TTL, TG) are not taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// CMD_PREFETCH_CONFIG.
    PrefetchConfig {
        /// StreamID.
        stream: u32,
        /// SubstreamID.
        substream: Option<u32>,
    },
    /// CMD_PREFETCH_ADDR.
    PrefetchAddress {
        /// StreamID.
        stream: u32,
        /// SubstreamID.
        substream: Option<u32>,
        /// Address, bits 63:12.
        address: u64,
    },
    /// CMD_CFGI_STE.
    CfgiSte {
        /// StreamID.
        stream: u32,
        /// Leave cached level-1 descriptors alone.
        leaf: bool,
    },
    /// CMD_CFGI_STE_RANGE.
    CfgiSteRange {
        /// A StreamID in the range.
        stream: u32,
        /// 2^(range + 1) StreamIDs, aligned; 0 to 30.
        range: u32,
    },
    /// CMD_CFGI_ALL: the range command with a range of 31.
    CfgiAll,
    /// CMD_CFGI_CD.
    CfgiCd {
        /// StreamID.
        stream: u32,
        /// SubstreamID.
        substream: u32,
        /// Leave cached level-1 descriptors alone.
        leaf: bool,
    },
    /// CMD_CFGI_CD_ALL.
    CfgiCdAll {
        /// StreamID.
        stream: u32,
    },
    /// CMD_CFGI_VMS_PIDM.
    CfgiVmsPidm {
        /// VMID.
        vmid: u16,
    },
    /// CMD_TLBI_*.
    Tlbi(Tlbi),
    /// CMD_ATC_INV.
    AtcInv {
        /// StreamID.
        stream: u32,
        /// SubstreamID.
        substream: Option<u32>,
        /// All SubstreamIDs.
        global: bool,
        /// Address, bits 63:12.
        address: u64,
        /// Log2 of the pages; 52 for all.
        size: u32,
    },
    /// CMD_PRI_RESP.
    PriResp {
        /// StreamID.
        stream: u32,
        /// SubstreamID.
        substream: Option<u32>,
        /// Page request group index.
        group: u16,
        /// The answer.
        response: Response,
    },
    /// CMD_RESUME with Ac = 1: illegal on a Realm queue, since nothing stalls.
    Resume {
        /// StreamID.
        stream: u32,
        /// STAG of the stalled transaction.
        stag: u16,
    },
    /// CMD_STALL_TERM: illegal on a Realm queue.
    StallTerm {
        /// StreamID.
        stream: u32,
    },
    /// CMD_SYNC.
    Sync(Completion),
}

/// A TLB invalidation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tlbi {
    /// Which one.
    pub operation: TlbiOperation,
    /// VMID, where it counts.
    pub vmid: u16,
    /// ASID, where it counts.
    pub asid: u16,
    /// Address, bits 63:12, where it counts.
    pub address: u64,
    /// Last level only.
    pub leaf: bool,
}

/// TLB invalidations of a Realm queue, by opcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlbiOperation {
    /// CMD_TLBI_NH_ALL.
    NhAll = 0x10,
    /// CMD_TLBI_NH_ASID.
    NhAsid = 0x11,
    /// CMD_TLBI_NH_VA.
    NhVa = 0x12,
    /// CMD_TLBI_NH_VAA.
    NhVaa = 0x13,
    /// CMD_TLBI_EL2_ALL.
    El2All = 0x20,
    /// CMD_TLBI_EL2_ASID.
    El2Asid = 0x21,
    /// CMD_TLBI_EL2_VA.
    El2Va = 0x22,
    /// CMD_TLBI_EL2_VAA.
    El2Vaa = 0x23,
    /// CMD_TLBI_S12_VMALL.
    S12Vmall = 0x28,
    /// CMD_TLBI_S2_IPA.
    S2Ipa = 0x2A,
    /// CMD_TLBI_NSNH_ALL.
    NsnhAll = 0x30,
}

impl TlbiOperation {
    const ALL: [Self; 11] = [
        Self::NhAll,
        Self::NhAsid,
        Self::NhVa,
        Self::NhVaa,
        Self::El2All,
        Self::El2Asid,
        Self::El2Va,
        Self::El2Vaa,
        Self::S12Vmall,
        Self::S2Ipa,
        Self::NsnhAll,
    ];

    /// Returns whether a device like `config` takes it (4.4): those of a stage that it lacks are illegal.
    const fn is_legal(self, config: &Config) -> bool {
        match self {
            Self::NhAll | Self::NhAsid | Self::NhVa | Self::NhVaa => config.has_stage_1(),
            Self::El2All | Self::El2Asid | Self::El2Va | Self::El2Vaa => {
                config.has_stage_1() && config.has_el2()
            }
            Self::S12Vmall | Self::S2Ipa => config.has_stage_2(),
            Self::NsnhAll => true,
        }
    }
}

/// Resp of CMD_PRI_RESP. The fourth value is illegal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Response {
    /// ResponseFailure.
    Failure = 0,
    /// InvalidRequest.
    InvalidRequest = 1,
    /// Success.
    Success = 2,
}

/// How a CMD_SYNC reports that it is complete, beside CONS. CS = 3 is illegal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Completion {
    /// CS = 0: not at all.
    Silent,
    /// CS = 1: by an MSI, or without one by the wired interrupt.
    Interrupt(Option<SyncMsi>),
    /// CS = 2: by an event for CPUs that wait.
    Sev,
}

/// Where an MSI goes and what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SyncMsi {
    /// Address, a multiple of 4.
    pub address: u64,
    /// The 32 bits to write.
    pub data: u32,
    /// MSI_NS: the address is of the Non-secure address space.
    pub non_secure: bool,
    /// MSH.
    pub shareability: u8,
    /// MSIAttr.
    pub attributes: u8,
}

impl SyncMsi {
    /// Makes an MSI to inner shareable write-back memory of the Realm.
    #[must_use]
    pub const fn to_realm_memory(address: u64, data: u32) -> Self {
        Self { address, data, non_secure: false, shareability: 3, attributes: 0xF }
    }

    /// Returns whether it goes to memory of the Realm between `first` and `end`.
    pub(crate) const fn is_in(&self, first: u64, end: u64) -> bool {
        !self.non_secure && self.address >= first && self.address < end
    }
}

const SSV: u64 = 1 << 11;
const ADDRESS: u64 = !0xFFF;
const SYNC_ADDRESS: u64 = 0x00FF_FFFF_FFFF_FFFC;

/// Takes bits `low + bits - 1 : low` of `word`.
const fn field(word: u64, low: u32, bits: u32) -> u64 {
    word >> low & ((1 << bits) - 1)
}

const fn on_stream(opcode: u64, stream: u32) -> u64 {
    opcode | (stream as u64) << 32
}

const fn with_substream(substream: Option<u32>) -> u64 {
    match substream {
        Some(substream) => SSV | (substream as u64 & 0xF_FFFF) << 12,
        None => 0,
    }
}

impl Command {
    /// CMD_SYNC with CS = 0.
    pub const SYNC: Self = Self::Sync(Completion::Silent);

    /// Makes a TLB invalidation that needs no more words.
    #[must_use]
    pub const fn tlbi(operation: TlbiOperation) -> Self {
        Self::Tlbi(Tlbi { operation, vmid: 0, asid: 0, address: 0, leaf: false })
    }

    /// Returns the two words.
    #[must_use]
    pub const fn words(&self) -> [u64; 2] {
        match *self {
            Self::PrefetchConfig { stream, substream } => {
                [on_stream(0x01, stream) | with_substream(substream), 0]
            }
            Self::PrefetchAddress { stream, substream, address } => {
                [on_stream(0x02, stream) | with_substream(substream), address & ADDRESS]
            }
            Self::CfgiSte { stream, leaf } => [on_stream(0x03, stream), leaf as u64],
            Self::CfgiSteRange { stream, range } => [on_stream(0x04, stream), range as u64 & 0x1F],
            Self::CfgiAll => [0x04, 0x1F],
            Self::CfgiCd { stream, substream, leaf } => {
                [on_stream(0x05, stream) | (substream as u64 & 0xF_FFFF) << 12, leaf as u64]
            }
            Self::CfgiCdAll { stream } => [on_stream(0x06, stream), 0],
            Self::CfgiVmsPidm { vmid } => [0x07 | (vmid as u64) << 32, 0],
            Self::Tlbi(Tlbi { operation, vmid, asid, address, leaf }) => [
                operation as u64 | (vmid as u64) << 32 | (asid as u64) << 48,
                address & ADDRESS | leaf as u64,
            ],
            Self::AtcInv { stream, substream, global, address, size } => [
                on_stream(0x40, stream) | with_substream(substream) | (global as u64) << 9,
                address & ADDRESS | size as u64 & 0x3F,
            ],
            Self::PriResp { stream, substream, group, response } => [
                on_stream(0x41, stream) | with_substream(substream),
                group as u64 & 0x1FF | (response as u64) << 12,
            ],
            Self::Resume { stream, stag } => [on_stream(0x44, stream) | 1 << 12, stag as u64],
            Self::StallTerm { stream } => [on_stream(0x45, stream), 0],
            Self::Sync(Completion::Silent) => [0x46, 0],
            Self::Sync(Completion::Sev) => [0x46 | 2 << 12, 0],
            Self::Sync(Completion::Interrupt(None)) => [0x46 | 1 << 12, 0],
            Self::Sync(Completion::Interrupt(Some(msi))) => [
                0x46 | 1 << 12
                    | (msi.shareability as u64 & 3) << 22
                    | (msi.attributes as u64 & 0xF) << 24
                    | (msi.data as u64) << 32,
                msi.address & SYNC_ADDRESS | (msi.non_secure as u64) << 63,
            ],
        }
    }

    /// Takes two words apart; `None` for what the Realm command queue of a device like `config` refuses
    /// with CERROR_ILL.
    #[must_use]
    pub fn decode([d0, d1]: [u64; 2], config: &Config) -> Option<Self> {
        const SSEC: u64 = 1 << 10;
        if d0 & SSEC != 0 {
            return None;
        }
        let stream = (d0 >> 32) as u32;
        let substream = (d0 & SSV != 0).then_some(field(d0, 12, 20) as u32);
        let address = d1 & ADDRESS;
        let leaf = d1 & 1 != 0;
        Some(match d0 & 0xFF {
            0x01 => Self::PrefetchConfig { stream, substream },
            0x02 => Self::PrefetchAddress { stream, substream, address },
            0x03 => Self::CfgiSte { stream, leaf },
            0x04 if d1 & 0x1F == 31 => Self::CfgiAll,
            0x04 => Self::CfgiSteRange { stream, range: field(d1, 0, 5) as u32 },
            0x05 | 0x06 if !config.has_stage_1() => return None,
            0x05 => Self::CfgiCd { stream, substream: field(d0, 12, 20) as u32, leaf },
            0x06 => Self::CfgiCdAll { stream },
            0x07 if config.has_mpam() => Self::CfgiVmsPidm { vmid: field(d0, 32, 16) as u16 },
            0x40 if config.has_ats() => {
                let (global, size) = (d0 & 1 << 9 != 0, field(d1, 0, 6) as u32);
                Self::AtcInv { stream, substream, global, address, size }
            }
            0x41 if config.has_pri() => {
                let response = match field(d1, 12, 2) {
                    0 => Response::Failure,
                    1 => Response::InvalidRequest,
                    2 => Response::Success,
                    _ => return None,
                };
                Self::PriResp { stream, substream, group: field(d1, 0, 9) as u16, response }
            }
            0x46 => Self::Sync(match field(d0, 12, 2) {
                0 => Completion::Silent,
                1 => Completion::Interrupt((d1 & SYNC_ADDRESS != 0).then_some(SyncMsi {
                    address: d1 & SYNC_ADDRESS,
                    data: (d0 >> 32) as u32,
                    non_secure: d1 >> 63 != 0,
                    shareability: field(d0, 22, 2) as u8,
                    attributes: field(d0, 24, 4) as u8,
                })),
                2 => Completion::Sev,
                _ => return None,
            }),
            opcode => {
                let operation = TlbiOperation::ALL.into_iter().find(|op| *op as u64 == opcode)?;
                if !operation.is_legal(config) {
                    return None;
                }
                let (vmid, asid) = (field(d0, 32, 16) as u16, field(d0, 48, 16) as u16);
                Self::Tlbi(Tlbi { operation, vmid, asid, address, leaf })
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_worked_values() {
        let msi = SyncMsi {
            address: 0x8000_2000,
            data: 0xAB,
            non_secure: true,
            shareability: 3,
            attributes: 0xF,
        };
        let (stream, substream, response) = (8, Some(3), Response::Success);
        let table = [
            (Command::SYNC, [0x46, 0]),
            (Command::Sync(Completion::Interrupt(None)), [0x1046, 0]),
            (
                Command::Sync(Completion::Interrupt(Some(msi))),
                [0x0000_00AB_0FC0_1046, 0x8000_0000_8000_2000],
            ),
            (Command::CfgiSte { stream, leaf: true }, [0x0000_0008_0000_0003, 1]),
            (Command::CfgiAll, [0x04, 0x1F]),
            (Command::tlbi(TlbiOperation::NsnhAll), [0x30, 0]),
            (Command::tlbi(TlbiOperation::El2All), [0x20, 0]),
            (
                Command::PriResp { stream, substream, group: 0x1F, response },
                [0x0000_0008_0000_3841, 0x201F],
            ),
            (Command::Resume { stream, stag: 0x55 }, [0x0000_0008_0000_1044, 0x55]),
        ];
        for (command, words) in table {
            assert_eq!(command.words(), words, "{command:?}");
            let legal = !matches!(command, Command::Resume { .. });
            let decoded = Command::decode(words, &Config::default());
            assert_eq!(decoded, legal.then_some(command));
        }
    }

    #[test]
    fn commands_survive_the_way_through_their_words() {
        let (stream, address) = (0xFFFF_0001, 0x1234_5678_9ABC_D000);
        let substream = Some(0xF_FFFF);
        let tlbi = Tlbi {
            operation: TlbiOperation::NhVa,
            vmid: 0xFFFE,
            asid: 0x7FFF,
            address,
            leaf: true,
        };
        for command in [
            Command::PrefetchConfig { stream, substream },
            Command::PrefetchAddress { stream, substream: None, address },
            Command::CfgiSte { stream, leaf: false },
            Command::CfgiSteRange { stream, range: 30 },
            Command::CfgiCd { stream, substream: 0xF_FFFF, leaf: true },
            Command::CfgiCdAll { stream },
            Command::Tlbi(tlbi),
            Command::AtcInv { stream, substream, global: true, address, size: 52 },
            Command::Sync(Completion::Sev),
        ] {
            assert_eq!(Command::decode(command.words(), &Config::default()), Some(command));
        }
    }

    #[test]
    fn a_realm_queue_refuses_what_is_not_for_it() {
        let default = Config::default();
        let refused = |d0: u64, d1: u64| Command::decode([d0, d1], &default).is_none();
        // EL3, CMD_RESUME, CMD_STALL_TERM, Secure commands, DPT, MPAM, reserved.
        for opcode in [
            0x00, 0x07, 0x08, 0x14, 0x18, 0x1A, 0x24, 0x29, 0x31, 0x42, 0x44, 0x45, 0x47, 0x50,
            0x51, 0x52, 0x53, 0x58, 0x5A, 0x60, 0x70, 0x73, 0x80, 0x8F, 0xFF,
        ] {
            assert!(refused(opcode, 0), "{opcode:#x}");
        }
        for opcode in [0x03, 0x04, 0x30, 0x46] {
            assert!(refused(opcode | 1 << 10, 0), "SSec = 1 with {opcode:#x}");
        }
        assert!(refused(0x46 | 3 << 12, 0), "CS = 3");
        assert!(refused(0x41, 3 << 12), "Resp = 3");
    }

    #[test]
    fn commands_of_features_that_are_absent_are_refused() {
        let config = Config::default().without_ats().without_el2();
        for opcode in [0x20, 0x21, 0x22, 0x23, 0x40, 0x41] {
            assert_eq!(Command::decode([opcode, 0], &config), None, "{opcode:#x}");
            assert!(Command::decode([opcode, 0], &Config::default()).is_some(), "{opcode:#x}");
        }
        assert_eq!(Command::decode([0x41, 0], &Config::default().without_pri()), None);
        let (stage_1, stage_2) =
            (Config::default().without_stage_2(), Config::default().without_stage_1());
        for (config, opcodes) in [
            (stage_1, &[0x28, 0x2A][..]),
            (stage_2, &[0x05, 0x06, 0x10, 0x11, 0x12, 0x13, 0x20, 0x21, 0x22, 0x23]),
        ] {
            for opcode in 0..=0xFF {
                let there = Command::decode([opcode, 0], &Config::default()).is_some();
                let refused = Command::decode([opcode, 0], &config).is_none();
                let el2 = (0x20..=0x23).contains(&opcode);
                assert_eq!(there && refused, opcodes.contains(&opcode) || el2, "{opcode:#x}");
            }
        }
    }
}
