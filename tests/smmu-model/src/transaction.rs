// SPDX-License-Identifier: MIT OR Apache-2.0

//! Transactions of devices behind the SMMU, as far as to the event that they end with (IHI 0070,
//! "Event queue recorded faults and events", priorities included).
//!
//! Translation tables are not walked: the test says what would come of it.

use crate::Device;
use crate::record::{Class, EventNumber, Record};
use crate::stream::{self, Entry, NoEntry};

/// What kind of transaction it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An access with an address that is to be translated.
    Untranslated,
    /// A request of ATS for a translation.
    AtsRequest,
    /// An access with an address that ATS has translated.
    AtsTranslated,
}

/// What a walk of the translation tables would give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Walk {
    /// An address.
    Translates,
    /// F_TRANSLATION, as an empty table does.
    NoTranslation,
    /// F_ADDR_SIZE.
    AddressSize,
    /// F_ACCESS.
    Access,
    /// F_PERMISSION.
    Permission,
}

/// A transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Transaction {
    /// StreamID.
    pub stream: u32,
    /// SubstreamID.
    pub substream: Option<u32>,
    /// Input address.
    pub address: u64,
    /// Writes.
    pub write: bool,
    /// Is privileged.
    pub privileged: bool,
    /// Fetches an instruction.
    pub instruction: bool,
    /// What kind it is.
    pub kind: Kind,
    /// What the tables would give.
    pub walk: Walk,
}

/// What came of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was aborted, and this record waits for its step.
    Recorded(Record),
    /// It was aborted, and nothing is recorded.
    Aborted,
    /// It passed untranslated.
    Bypassed,
    /// It was translated.
    Translated,
}

impl Transaction {
    /// Makes a read whose address has no translation.
    #[must_use]
    pub const fn read(stream: u32, address: u64) -> Self {
        Self {
            stream,
            substream: None,
            address,
            write: false,
            privileged: false,
            instruction: false,
            kind: Kind::Untranslated,
            walk: Walk::NoTranslation,
        }
    }

    /// Makes a write whose address has no translation.
    #[must_use]
    pub const fn write(stream: u32, address: u64) -> Self {
        Self { write: true, ..Self::read(stream, address) }
    }

    /// Makes the same transaction with a SubstreamID.
    #[must_use]
    pub const fn of(self, substream: u32) -> Self {
        Self { substream: Some(substream), ..self }
    }

    /// Makes the same transaction with tables that give `walk`.
    #[must_use]
    pub const fn with(self, walk: Walk) -> Self {
        Self { walk, ..self }
    }

    /// Makes the same transaction of another kind.
    #[must_use]
    pub const fn by(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    /// Adds SSV and SubstreamID to `record`.
    const fn on_substream(&self, record: Record) -> Record {
        match self.substream {
            Some(substream) => record.substream(substream),
            None => record,
        }
    }

    /// Adds PnU, InD, RnW and InputAddr to `record`.
    const fn described(&self, record: Record) -> Record {
        let mut record = record.input(self.address);
        if self.privileged {
            record = record.privileged();
        }
        if self.write {
            record
        } else if self.instruction {
            record.instruction()
        } else {
            record.read()
        }
    }
}

/// REC_CFG_ATS of CR2: configuration errors of ATS requests are recorded.
const REC_CFG_ATS: u32 = 1 << 3;

/// S1CDMax of an entry.
const fn substream_bits(entry: &Entry) -> u64 {
    entry[0] >> 59
}

/// S1DSS of an entry.
const fn without_substream(entry: &Entry) -> u64 {
    entry[1] & 3
}

/// EATS of an entry.
const fn ats(entry: &Entry) -> u64 {
    entry[1] >> (92 - 64) & 3
}

/// S2R of an entry: faults of stage 2 are recorded.
const fn records_stage_2(entry: &Entry) -> bool {
    entry[2] >> (186 - 128) & 1 != 0
}

impl Device {
    /// Judges `transaction`.
    pub(crate) fn judge(&mut self, transaction: &Transaction) -> Outcome {
        let (outcome, may_merge) = match self.stream_table_entry(transaction.stream) {
            Ok(entry) => {
                let outcome = judge_entry(transaction, &entry).unwrap_or_else(|| {
                    self.note_walk(&entry);
                    judge_walk(transaction, &entry)
                });
                (outcome, stream::merges_events(&entry))
            }
            Err(why) => (self.judge_no_entry(transaction, why), false),
        };
        if let Outcome::Recorded(record) = outcome {
            self.enqueue_record(record, may_merge);
        }
        outcome
    }

    fn judge_no_entry(&self, transaction: &Transaction, why: NoEntry) -> Outcome {
        let stream = transaction.stream;
        let record = match why {
            NoEntry::Disabled => return judge_disabled(transaction),
            NoEntry::BadStreamId if !self.records_bad_streams() => return Outcome::Aborted,
            NoEntry::BadStreamId => Record::bad_stream_id(stream),
            NoEntry::Fetch(address) => Record::ste_fetch(stream, address),
            NoEntry::BadEntry => Record::bad_ste(stream),
        };
        let is_request = transaction.kind == Kind::AtsRequest;
        if is_request && self.control.cr2 & REC_CFG_ATS == 0 {
            return Outcome::Aborted;
        }
        Outcome::Recorded(transaction.on_substream(record))
    }
}

/// Judges a transaction while SMMUEN is 0: the Realm side aborts, R_GBPA.ABORT being fixed.
fn judge_disabled(transaction: &Transaction) -> Outcome {
    match transaction.kind {
        Kind::Untranslated => Outcome::Aborted,
        Kind::AtsRequest => bad_ats_request(transaction),
        Kind::AtsTranslated => forbidden(transaction),
    }
}

fn bad_ats_request(transaction: &Transaction) -> Outcome {
    let record = Record::new(EventNumber::BadAtsTreq, transaction.stream);
    Outcome::Recorded(transaction.on_substream(record).input(transaction.address & !0xFFF))
}

fn forbidden(transaction: &Transaction) -> Outcome {
    let record =
        Record::new(EventNumber::TranslForbidden, transaction.stream).input(transaction.address);
    Outcome::Recorded(if transaction.write { record } else { record.read() })
}

/// Judges what comes ahead of the walk of tables; `None` when there is a walk.
fn judge_entry(transaction: &Transaction, entry: &Entry) -> Option<Outcome> {
    let kind = stream::kind(entry);
    if kind & 0b100 == 0 {
        return Some(Outcome::Aborted);
    }
    match transaction.kind {
        // CR0.ATSCHK is fixed on the Realm side: what ATS has translated is checked.
        Kind::AtsTranslated if ats(entry) == 0 => return Some(forbidden(transaction)),
        Kind::AtsTranslated => return Some(Outcome::Bypassed),
        Kind::AtsRequest if ats(entry) == 0 => return Some(bad_ats_request(transaction)),
        Kind::AtsRequest | Kind::Untranslated => {}
    }
    let has_stage_1 = kind & 0b001 != 0;
    let has_substreams = has_stage_1 && substream_bits(entry) != 0;
    let bad_substream = |substream| {
        let record = Record::new(EventNumber::BadSubstreamId, transaction.stream);
        // SSV does not exist here; SubstreamID is always valid.
        Outcome::Recorded(Record([record.0[0] | u64::from(substream) << 12, 0, 0, 0]))
    };
    match transaction.substream {
        Some(substream)
            if !has_substreams || u64::from(substream) >> substream_bits(entry) != 0 =>
        {
            return Some(bad_substream(substream));
        }
        Some(0) if without_substream(entry) == 2 => return Some(stream_disabled(transaction)),
        None if has_substreams && without_substream(entry) == 0 => {
            return Some(stream_disabled(transaction));
        }
        None if has_substreams && without_substream(entry) == 1 && kind & 0b010 == 0 => {
            return Some(Outcome::Bypassed);
        }
        _ => {}
    }
    (kind == 0b100).then_some(Outcome::Bypassed)
}

/// Judges how the walk ends.
fn judge_walk(transaction: &Transaction, entry: &Entry) -> Outcome {
    let has_stage_1 = stream::kind(entry) & 0b001 != 0;
    let number = match transaction.walk {
        Walk::Translates => return Outcome::Translated,
        Walk::NoTranslation => EventNumber::Translation,
        Walk::AddressSize => EventNumber::AddrSize,
        Walk::Access => EventNumber::Access,
        Walk::Permission => EventNumber::Permission,
    };
    // A request of ATS is answered with what it may do, and not recorded.
    if transaction.kind == Kind::AtsRequest || !has_stage_1 && !records_stage_2(entry) {
        return Outcome::Aborted;
    }
    let record =
        transaction.described(transaction.on_substream(Record::new(number, transaction.stream)));
    Outcome::Recorded(if has_stage_1 {
        record.class(Class::Input)
    } else {
        record.stage_2(Class::Input).ipa(transaction.address)
    })
}

fn stream_disabled(transaction: &Transaction) -> Outcome {
    Outcome::Recorded(Record::new(EventNumber::StreamDisabled, transaction.stream))
}
