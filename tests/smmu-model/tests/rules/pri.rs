// SPDX-License-Identifier: MIT OR Apache-2.0

//! Page requests.

use smmu_model::gerror::PRIQ_ABT_ERR;
use smmu_model::{
    Answer, Answerer, Command, Config, OVERFLOW_FLAG, Output, PageRequest, Register, Response,
    Source, Step, Violation, WriteAborts,
};

use crate::rig::{PAGES, Rig, Sizes};

const SIZES: Sizes = Sizes { commands: 4, events: 2, pages: 2 };

fn request(group: u16) -> PageRequest {
    PageRequest::last_of(8, group, 0x7000)
}

fn by_device(group: u16, substream: Option<u32>, response: Response) -> Answer {
    Answer { by: Answerer::Device, stream: 8, substream, group, response }
}

/// Fills the queue and loses one more group, number 4.
fn overflow(rig: &Rig) {
    for group in 0..5 {
        rig.device().page_request(request(group));
    }
    assert_eq!(rig.read32(Register::PriqProd), OVERFLOW_FLAG | 4);
}

#[test]
fn requests_are_queued_and_answered_by_the_driver() {
    let rig = Rig::up();
    rig.device().page_request(PageRequest::last_of(8, 0x1F, 0x7000).of(3));
    assert_eq!(rig.device().load(PAGES), Some(0xF000_0003_0000_0008));
    assert_eq!(rig.device().load(PAGES + 8), Some(0x701F));
    assert_eq!(rig.device().queued_page_requests().len(), 1);
    assert_eq!(rig.device().unanswered_groups(), [(8, 0x1F)]);
    rig.write(Register::PriqCons, 1u32);
    let (substream, response) = (Some(3), Response::Success);
    rig.issue(&[Command::PriResp { stream: 8, substream, group: 0x1F, response }]);
    let by = Answerer::Driver;
    let answer = Answer { by, stream: 8, substream, group: 0x1F, response };
    assert_eq!(rig.device().take_answers(), [answer]);
    assert_eq!(rig.device().unanswered_groups(), []);
}

#[test]
fn queues_of_all_sizes_wrap() {
    for log2 in 0..=19 {
        let rig = Rig::with(Config::default(), Sizes { pages: log2, ..SIZES });
        rig.bring_up();
        let entries = 1u32 << log2;
        rig.write(Register::Cr0, 0xDu32);
        rig.write(Register::PriqProd, 2 * entries - 1);
        rig.write(Register::PriqCons, 2 * entries - 1);
        rig.write(Register::Cr0, 0xFu32);
        rig.device().page_request(request(7));
        assert_eq!(rig.device().queued_page_requests(), [request(7)], "2^{log2}");
        assert_eq!(rig.read32(Register::PriqProd), 0, "2^{log2}");
        rig.write(Register::PriqCons, 0u32);
        assert_eq!(rig.device().used(Output::Pages), 0);
    }
}

#[test]
fn an_overflow_stops_the_queue_until_it_is_acknowledged() {
    let rig = Rig::up();
    overflow(&rig);
    assert_eq!(rig.device().take_answers(), [by_device(4, None, Response::Success)]);
    // There is space again, but no acknowledge.
    rig.write(Register::PriqCons, 4u32);
    rig.device().page_request(request(5));
    assert_eq!(rig.read32(Register::PriqProd), OVERFLOW_FLAG | 4);
    assert_eq!(rig.device().take_answers(), [by_device(5, None, Response::Success)]);
    rig.write(Register::PriqCons, OVERFLOW_FLAG | 4);
    rig.device().page_request(request(6));
    assert_eq!(rig.read32(Register::PriqProd), OVERFLOW_FLAG | 5);
    assert_eq!(rig.device().take_answers(), []);
}

#[test]
fn non_last_requests_and_stop_markers_vanish_in_an_overflow() {
    let rig = Rig::up();
    overflow(&rig);
    let _ = rig.device().take_answers();
    rig.device().page_request(request(5).more());
    rig.device().page_request(PageRequest::stop_marker(8, 3, 0));
    assert_eq!(rig.device().take_answers(), []);
}

#[test]
fn automatic_answers_carry_the_pasid_as_pps_and_ppar_say() {
    let answers = |rig: &Rig, stream: u32| {
        overflow(rig);
        let _ = rig.device().take_answers();
        rig.device().page_request(PageRequest::last_of(stream, 5, 0).of(3));
        let answers = rig.device().take_answers();
        (answers[0].substream, answers[0].response)
    };
    let rig = Rig::with(Config::default().with_pps(), SIZES);
    rig.bring_up();
    assert_eq!(answers(&rig, 8), (Some(3), Response::Success), "PPS");
    assert_eq!(answers(&Rig::up(), 8), (None, Response::Success), "PPAR is 0");
    let rig = Rig::up();
    rig.device().store(rig.table.address() + 8 * 64 + 8, 1 << 18);
    assert_eq!(answers(&rig, 8), (Some(3), Response::Success), "PPAR is 1");
    assert_eq!(answers(&Rig::up(), 3), (None, Response::Failure), "no valid STE");
    assert_eq!(answers(&Rig::up(), 0x1_0000), (None, Response::Failure), "no STE at all");
}

#[test]
fn requests_fail_while_the_queue_has_no_effect() {
    for cr0 in [0xDu32, 0xE] {
        let rig = Rig::up();
        rig.write(Register::Cr0, cr0);
        rig.device().page_request(request(1).of(3).more());
        rig.device().page_request(PageRequest::stop_marker(8, 3, 0));
        let failure = by_device(1, None, Response::Failure);
        assert_eq!(rig.device().take_answers(), [failure], "last or not; CR0 {cr0:#x}");
        assert_eq!(rig.read32(Register::PriqProd), 0);
    }
}

#[test]
fn priq_is_guarded_by_the_written_enable_even_without_effect() {
    let rig = Rig::up();
    rig.write(Register::Cr0, 0xEu32);
    assert_eq!(rig.read32(Register::Cr0Ack) & 2, 2);
    let violations = rig.violations(|rig| rig.write(Register::PriqProd, 1u32));
    assert!(matches!(violations[..], [Violation::GuardedWrite { .. }]));
}

#[test]
fn requests_fail_while_priq_abt_err_is_active() {
    let rig = Rig::up();
    rig.device().abort_next_write(Output::Pages);
    rig.device().page_request(request(1));
    rig.device().page_request(request(2));
    assert_eq!(rig.read32(Register::Gerror), PRIQ_ABT_ERR);
    assert_eq!(rig.read32(Register::PriqProd), 0);
    let failures = [1, 2].map(|group| by_device(group, None, Response::Failure));
    assert_eq!(rig.device().take_answers(), failures);
    rig.write(Register::Gerrorn, PRIQ_ABT_ERR);
    rig.device().page_request(request(3));
    assert_eq!(rig.read32(Register::PriqProd), 1);
}

#[test]
fn an_asynchronous_abort_of_the_queue_is_found_later() {
    let rig = Rig::up();
    rig.device().set_write_aborts(WriteAborts::Asynchronous);
    rig.device().set_eager(false);
    rig.pages.abort_accesses(true);
    rig.device().page_request(request(1));
    rig.device().step(Step::DeliverPageRequest(0));
    assert_eq!((rig.read32(Register::PriqProd), rig.read32(Register::Gerror)), (1, 0));
    rig.device().step(Step::ReportAbort(Output::Pages));
    assert_eq!(rig.read32(Register::Gerror), PRIQ_ABT_ERR);
}

#[test]
fn the_queue_interrupts_when_it_was_empty() {
    let rig = Rig::up();
    rig.device().page_request(request(1).more());
    assert_eq!(rig.pulses(), Source::Priq.bit());
    rig.device().page_request(request(1));
    assert_eq!(rig.pulses(), 0);
}

#[test]
fn with_lo_the_queue_interrupts_for_each_last_even_a_lost_one() {
    let rig = Rig::up();
    rig.write(Register::IrqCtrl, 5u32);
    rig.write(Register::PriqIrqCfg2, 1u32 << 31);
    rig.write(Register::IrqCtrl, 7u32);
    rig.device().page_request(request(1).more());
    assert_eq!(rig.pulses(), 0, "it was empty, but this is not the last");
    for group in 1..=3 {
        rig.device().page_request(request(group));
        assert_eq!(rig.pulses(), Source::Priq.bit());
    }
    rig.device().page_request(request(4).more());
    assert_eq!(rig.pulses(), 0);
    rig.device().page_request(request(4));
    assert_eq!(rig.pulses(), Source::Priq.bit(), "lost in the overflow");
}

#[test]
fn stop_markers_are_queued_and_not_answered() {
    let rig = Rig::up();
    let marker = PageRequest::stop_marker(8, 3, 0);
    rig.device().page_request(marker);
    assert_eq!(rig.device().queued_page_requests(), [marker]);
    assert_eq!(rig.device().unanswered_groups(), []);
}

#[test]
fn a_group_is_answered_once_and_only_if_it_asked() {
    let rig = Rig::up();
    let answer = |group| {
        let response = Response::Success;
        rig.issue(&[Command::PriResp { stream: 8, substream: None, group, response }]);
    };
    rig.device().page_request(request(1));
    answer(1);
    for group in [1, 2] {
        let violations = rig.violations(|_| answer(group));
        assert_eq!(violations, [Violation::ResponseWithoutRequest { stream: 8, group }]);
    }
    rig.device().page_request(request(3).more());
    let violations = rig.violations(|_| answer(3));
    assert_eq!(violations, [Violation::ResponseWithoutRequest { stream: 8, group: 3 }]);
}

#[test]
fn answers_are_ignored_while_translation_is_off() {
    let rig = Rig::up();
    rig.device().page_request(request(1));
    rig.write(Register::Cr0, 0xEu32);
    let response = Response::Success;
    rig.issue(&[Command::PriResp { stream: 8, substream: None, group: 1, response }]);
    assert_eq!(rig.device().take_answers(), []);
    assert_eq!(rig.device().unanswered_groups(), [(8, 1)]);
}

#[test]
fn cons_of_the_page_requests_is_held_to_the_same_rules() {
    let rig = Rig::up();
    rig.device().page_request(request(1));
    let violations = rig.violations(|rig| rig.write(Register::PriqCons, 2u32));
    assert!(matches!(violations[..], [Violation::ConsPastProd { .. }]));
    let rig = Rig::up();
    let violations = rig.violations(|rig| rig.write(Register::PriqCons, OVERFLOW_FLAG));
    assert!(matches!(violations[..], [Violation::FalseOverflowAcknowledge { .. }]));
}
