// SPDX-License-Identifier: MIT OR Apache-2.0

//! The parts, the worlds that they are in, and the way of one event through them.

use super::data::Data;
use super::svg::{Anchor, Svg, hex};

const WIDTH: u32 = 830;

/// Draws the way of the first event of a run. Returns the figure, and the texts that had no room.
///
/// # Errors
/// If the run has no event.
pub fn figure(data: &Data) -> Result<(String, Vec<String>), String> {
    let story = data.story()?;
    let event = &story.transfers.first().ok_or("the host has printed no event")?.first;
    let mut svg = Svg::default();
    // Worlds.
    for ([x, width, height], name, class) in [
        ([20, 250, 180], "Non-secure world", "ns"),
        ([290, 170, 180], "Root world", "root"),
        ([480, 330, 290], "Realm world", "realm"),
    ] {
        svg.rect([x, 16, width, height], class);
        svg.text([x + 12, 38], 15, Anchor::Start, "strong", width - 20, name);
    }
    // Parts; calls pass below the names of those in the first row.
    for ([x, y, width, height], name, more, class) in [
        ([40, 54, 210, 126], "host, EL2", "psmmu-host", "box"),
        ([310, 54, 130, 126], "EL3", "TF-A", "box"),
        ([570, 54, 220, 126], "RMM, Realm EL2", "psmmu", "box"),
        ([500, 230, 290, 60], "memory in Realm PAS", "event queue", "box"),
        ([20, 350, 440, 64], "SMMU: Non-secure side", "the host's own driver", "ns"),
        ([480, 350, 330, 64], "SMMU: Realm side", "of the RMM alone", "realm"),
        ([480, 464, 330, 64], "device", "of a Realm", "realm"),
    ] {
        svg.rect([x, y, width, height], class);
        let middle = x + width / 2;
        svg.text([middle, y + 27], 15, Anchor::Middle, "strong", width - 12, name);
        svg.text([middle, y + 47], 14, Anchor::Middle, "", width - 12, more);
    }
    // The access, the record, the interrupt; and what NOTIFY stages.
    for points in [
        &[[760, 464], [760, 415]][..],
        &[[760, 350], [760, 291]],
        &[[520, 350], [520, 320], [60, 320], [60, 181]],
        &[[640, 230], [640, 181]],
    ] {
        svg.arrow(points, "way");
    }
    // NOTIFY, its answer and CONSUME, each by EL3.
    for y in [118, 166] {
        svg.arrow(&[[250, y], [309, y]], "way");
        svg.arrow(&[[440, y], [569, y]], "way");
    }
    svg.arrow(&[[570, 142], [441, 142]], "back");
    svg.arrow(&[[310, 142], [251, 142]], "back");

    let interrupt = story.eventq.map_or("an MSI".into(), |number| format!("interrupt {number}"));
    let address = event.input.map_or(String::new(), |input| format!(" at {}", hex(input)));
    let steps = [
        (
            [760, 439],
            format!("The device accesses memory{address}, and its stage 2 makes that fault."),
        ),
        (
            [760, 321],
            "The SMMU writes a record into its event queue, which the host cannot access.".into(),
        ),
        ([240, 320], format!("The SMMU raises {interrupt}, which is delivered to the host.")),
        ([280, 118], "The host calls PSMMU_IRQ_NOTIFY by SMC.".into()),
        (
            [525, 118],
            format!(
                "EL3 passes the call on to the RMM ({} instructions, there and back).",
                data.count("el3")
            ),
        ),
        (
            [640, 206],
            format!(
                "The RMM stages the record ({} instructions, with its report).",
                data.count("notify_stages_1")
            ),
        ),
        ([525, 142], format!("The RMM reports the event, by EL3: {}.", event.what)),
        (
            [280, 166],
            format!(
                "The host calls PSMMU_EVENT_CONSUME ({} instructions), which ends it.",
                data.count("consume")
            ),
        ),
    ];
    svg.text([20, 510], 15, Anchor::Start, "strong", 440, "The way of one event");
    let mut y = 556;
    for (number, (at, text)) in (1..).zip(&steps) {
        svg.dot(*at, number);
        svg.dot([34, y - 5], number);
        svg.text([54, y], 15, Anchor::Start, "", WIDTH - 74, text);
        y += 27;
    }
    Ok((
        svg.finish([WIDTH, y - 6], "Parts and worlds, and the way of one event", true),
        svg.cut().to_vec(),
    ))
}
