// SPDX-License-Identifier: MIT OR Apache-2.0

//! The sequence of a run: what device, SMMU, RMM, EL3 and host do, and what each call costs.

use super::data::Data;
use super::story::{Story, Transfer};
use super::svg::{Anchor, Svg, hex};

const WIDTH: u32 = 830;
const DEVICE: u32 = 64;
const SMMU: u32 = 222;
const RMM: u32 = 372;
const EL3: u32 = 556;
const HOST: u32 = 764;

/// Name, second line, lifeline and class of each lane.
const LANES: [(&str, &str, u32, &str); 5] = [
    ("device", "DMA faults", DEVICE, "box"),
    ("SMMU", "event queue", SMMU, "box"),
    ("RMM", "Realm EL2", RMM, "realm"),
    ("EL3", "TF-A", EL3, "root"),
    ("host", "NS-EL2", HOST, "ns"),
];

/// Height of a row, and of what stands above the first one.
const ROW: u32 = 25;
const HEAD: u32 = 62;
const SIZE: u32 = 13;

/// Draws in rows from the top down.
struct Sequence {
    svg: Svg,
    y: u32,
}

impl Sequence {
    fn row(&mut self) -> u32 {
        self.y += ROW;
        self.y
    }

    fn gap(&mut self) {
        self.y += 9;
    }

    fn label(&mut self, from: u32, to: u32, y: u32, text: &str) {
        let [left, right] = [from.min(to), from.max(to)];
        let middle = left.midpoint(right);
        self.svg.text([middle, y - 5], SIZE, Anchor::Middle, "", right - left - 8, text);
    }

    fn cost(&mut self, x: u32, y: u32, class: &str, cost: &str) {
        self.svg.rect([x - 32, y - 10, 64, 20], class);
        self.svg.text([x, y + 5], SIZE, Anchor::Middle, "strong", 62, cost);
    }

    /// An SMC of the host, what it costs EL3 and the RMM, and what the RMM does meanwhile.
    fn call(&mut self, name: &str, [rmm, el3]: [&str; 2], aside: &str) {
        let y = self.row();
        self.label(EL3 + 28, HOST, y, name);
        let end = if el3.is_empty() { EL3 + 2 } else { EL3 + 33 };
        self.svg.arrow(&[[HOST, y], [end, y]], "way");
        self.svg.arrow(&[[EL3, y], [RMM + 33, y]], "way");
        if !el3.is_empty() {
            self.cost(EL3, y, "root", el3);
        }
        self.cost(RMM, y, "realm", rmm);
        self.svg.text([RMM - 38, y + 4], SIZE, Anchor::End, "dim", RMM - SMMU - 42, aside);
    }

    /// What the call returns with, as EL3 passes it back.
    fn answer(&mut self, text: &str) {
        self.y += 4;
        let y = self.row();
        self.svg.text([RMM + 12, y - 5], SIZE, Anchor::Start, "over", HOST - RMM - 20, text);
        self.svg.arrow(&[[RMM, y], [HOST, y]], "back");
    }

    /// A transfer, its interrupt, and the calls for each of its records.
    fn transfer(&mut self, story: &Story, data: &Data, transfer: &Transfer) {
        self.gap();
        let records = transfer.records;
        let y = self.row();
        let mut words = transfer.first.what.split(' ');
        let access = words.find(|word| ["read", "write"].contains(word)).unwrap_or("access");
        let access = match records {
            1 => access.to_owned(),
            _ => format!("{records} x {access}"),
        };
        self.label(DEVICE, SMMU, y, &format!("{access}, stream {}", transfer.first.stream));
        self.svg.arrow(&[[DEVICE, y], [SMMU, y]], "way");
        let interrupt = story.eventq.map_or("MSI".into(), |number| format!("interrupt {number}"));
        self.label(EL3, HOST, y, &interrupt);
        let queued = if records == 1 { "1 record".into() } else { format!("{records} records") };
        let queued = format!("{queued} queued");
        self.svg.text([SMMU + 8, y - 5], SIZE, Anchor::Start, "dim", RMM - SMMU - 16, &queued);
        self.svg.arrow(&[[SMMU, y], [HOST, y]], "way");

        let staging = match records {
            1 => data.count("notify_stages_1"),
            // In between, and the bench has counted no other.
            2..32 => format!("> {}", data.count("notify_stages_1")),
            _ => data.count("notify_stages_32"),
        };
        let el3 = data.count("el3");
        self.call("IRQ_NOTIFY", [&staging, &el3], &format!("stages {}", records.min(32)));
        let inputs = |first: Option<u64>, last: Option<u64>| match (first, last) {
            (Some(first), Some(last)) if first != last => {
                format!("{} to {}", hex(first), hex(last))
            }
            (Some(first), _) => hex(first),
            (None, _) => "no address".into(),
        };
        let what = &transfer.first.what;
        self.answer(&format!("{what}, {}", inputs(transfer.first.input, transfer.first.input)));
        self.call("EVENT_CONSUME", [&data.count("consume"), ""], "");
        if records > 1 {
            let others = records - 1;
            self.gap();
            let top = self.y + 5;
            self.gap();
            let aside = format!("last: {}", data.count("notify_last"));
            self.call("IRQ_NOTIFY", [&data.count("notify_staged"), &el3], &aside);
            let next = transfer.first.input.map(|input| input + 4);
            self.answer(&format!("the same, {}", inputs(next, transfer.last)));
            self.call("EVENT_CONSUME", [&data.count("consume"), ""], "");
            self.gap();
            let frame = [RMM - 140, top, HOST - RMM + 190, self.y + 7 - top];
            self.svg.rect(frame, "frame");
            let times = format!("{others} times");
            self.svg.text([RMM - 132, self.y], SIZE, Anchor::Start, "strong", 90, &times);
        }
    }
}

/// Draws the run; as a file if it is to stand by itself. Returns the figure, and the texts that had no room.
///
/// # Errors
/// As [`Story::read`].
pub fn figure(data: &Data, is_file: bool) -> Result<(String, Vec<String>), String> {
    let story = data.story()?;
    let mut rows = Sequence { svg: Svg::default(), y: HEAD - 4 };
    rows.call("VERSION", [&data.count("version"), ""], "");
    rows.answer(&format!("RMI {}", story.rmi));
    rows.call("PSMMU_INFO", [&data.count("info"), ""], "");
    rows.answer(&story.interrupts);
    rows.call("PSMMU_ACTIVATE", [&data.count("activate"), ""], "queue enabled");
    rows.call("ST_L2_CREATE", [&data.count("st_l2_create"), ""], "level-2 table");
    for transfer in &story.transfers {
        rows.transfer(&story, data, transfer);
    }
    rows.gap();
    let end = rows.y + 6;
    let mut foot: Vec<String> = story.notes.clone();
    let [events, _, interrupts] = story.totals;
    if story.events() != events || story.transfers.len() as u64 != interrupts {
        let (seen, of) = (story.events(), story.transfers.len());
        foot.push(format!(
            "drawn are the {seen} events of {of} interrupts that the host prints one by one"
        ));
    }
    let verdict = format!("host: PASS, {}", story.verdict);
    let mut y = end + 26;
    rows.svg.text([20, y], 15, Anchor::Start, "strong", WIDTH - 40, &verdict);
    foot.push("In boxes: instructions of the RMM for a call, and EL3's around IRQ_NOTIFY, from make bench.".into());
    foot.push(
        "ACTIVATE and ST_L2_CREATE: with the calls that donate their memory, without EL3's part."
            .into(),
    );
    if story.has_one_interface {
        foot.push("QEMU as distributed: the SMMU has one programming interface, which the RMM has programmed.".into());
    }
    for line in &foot {
        y += 21;
        rows.svg.text([20, y], 14, Anchor::Start, "dim", WIDTH - 40, line);
    }

    let mut all = Svg::default();
    for (name, place, x, class) in LANES {
        all.stroke([x, 50, x, end], "lane");
        all.rect([x - 56, 8, 112, 42], class);
        all.text([x, 26], 15, Anchor::Middle, "strong", 108, name);
        all.text([x, 43], SIZE, Anchor::Middle, "", 108, place);
    }
    all.append(rows.svg);
    let title = format!("The sequence of a run: {}", story.verdict);
    Ok((all.finish([WIDTH, y + 18], &title, is_file), all.cut().to_vec()))
}
