// SPDX-License-Identifier: MIT OR Apache-2.0

//! A driver with plain pointers on the model: a driver as it may come from another project, unchanged, and
//! the 30 lines between it and the model.
//!
//! `cargo run -p smmu-model --example plain_pointers`

#[path = "plain_pointers/driver.rs"]
mod driver;

use smmu_model::{Config, Record, Smmu, Source};

// What the driver calls, and is given by its own project elsewhere: this is all that has to be written.
// begin of the glue
mod platform {
    use smmu_model::{Config, Mirror, Page, Smmu};

    thread_local! {
        pub static DEVICE: Mirror<'static> =
            Mirror::new(Smmu::new(Config::default().with_queue_limits(8, 8, 8).with_vmw()));
    }

    /// Pages 0 and 1 of the Realm interface lie one behind the other.
    fn page(offset: usize) -> (Page, u64) {
        let page = if offset < 0x1_0000 { Page::Realm0 } else { Page::Realm1 };
        (page, offset as u64 & 0xFFFF)
    }

    pub fn mmio_read32(offset: usize) -> u32 {
        let (page, offset) = page(offset);
        DEVICE.with(|device| device.read32(page, offset))
    }

    pub fn mmio_write32(offset: usize, value: u32) {
        let (page, offset) = page(offset);
        DEVICE.with(|device| device.write32(page, offset, value));
    }

    pub fn mmio_write64(offset: usize, value: u64) {
        let (page, offset) = page(offset);
        DEVICE.with(|device| device.write64(page, offset, value));
    }

    pub fn dsb() {
        DEVICE.with(Mirror::barrier);
    }

    pub fn alloc_pages(pa: u64, bytes: usize) -> *mut u64 {
        DEVICE.with(|device| device.allocate(pa, bytes / 8))
    }
}
// end of the glue

fn main() {
    let smmu: Smmu = platform::DEVICE.with(|device| device.smmu().clone());
    assert!(smmu.snapshot().config() != &Config::default());
    let mut driver = driver::Driver::init();
    assert_eq!(driver.sync(), Ok(()), "commands run");

    smmu.with(|device| (1..=3).for_each(|stream| device.record(Record::bad_stream_id(stream))));
    assert!(smmu.with(|device| device.take_interrupts()).contains(Source::Eventq));
    let mut seen = Vec::new();
    driver.handle_events(|event| seen.push(event));
    let expected: Vec<_> = (1..=3).map(|stream| Record::bad_stream_id(stream).0).collect();
    assert_eq!(seen, expected);

    // A refused command is found by the driver.
    driver.push([0xFF, 0]);
    assert_eq!(driver.sync(), Err(1), "CERROR_ILL");
    println!("{} events, {:?}", seen.len(), smmu.snapshot());
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_driver_with_plain_pointers_runs_on_the_model() {
        super::main();
    }

    #[test]
    fn thirty_lines_of_statements_lie_between_driver_and_model() {
        let source = include_str!("plain_pointers.rs");
        let glue = source.split("// begin of the glue").nth(1).expect("it begins");
        let glue = glue.split("// end of the glue").next().expect("it ends");
        let is_code = |line: &&str| !line.is_empty() && !line.starts_with("//") && *line != "}";
        let lines = glue.lines().map(str::trim).filter(is_code).count();
        assert!(lines <= 30, "{lines} lines");
    }
}
