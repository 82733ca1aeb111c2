// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the host of a `make run` has printed, and what of it the figures show.

/// What the host prints before each line.
const HOST: &str = "host: ";

/// One record, as the host prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Printed {
    /// Number, name and syndrome, without the input address.
    pub what: String,
    /// The input address, where there is one.
    pub input: Option<u64>,
    /// The host's own knowledge of which device it was.
    pub stream: String,
}

/// One transfer of a device, whose words each fault: the records that one interrupt is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Its first record.
    pub first: Printed,
    /// How many records there are.
    pub records: u64,
    /// Input address of the last one.
    pub last: Option<u64>,
}

/// A run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    /// The version of RMI that host and RMM agree on.
    pub rmi: String,
    /// The answer of `PSMMU_INFO`.
    pub interrupts: String,
    /// The interrupt of the event queue; none if it is an MSI.
    pub eventq: Option<u64>,
    /// Whether the SMMU has no programming interface for the Realm side.
    pub has_one_interface: bool,
    /// Transfers, in their order.
    pub transfers: Vec<Transfer>,
    /// What else the host says.
    pub notes: Vec<String>,
    /// Its verdict.
    pub verdict: String,
    /// Events, errors and interrupts of the verdict.
    pub totals: [u64; 3],
}

/// Returns the lines of a log that the figures follow, without what differs from run to run or with the tests: the count
/// of checks, and the value of IDR0.
#[must_use]
pub fn lines(log: &str) -> Vec<String> {
    let host = log.lines().filter_map(|line| line.trim_end().strip_prefix(HOST));
    host.map(|line| {
        if line.starts_with("PASS ") {
            let kept = line.split(", ").filter(|part| !part.ends_with(" checks"));
            return kept.collect::<Vec<_>>().join(", ");
        }
        match line.split_once(" in IDR0 ") {
            Some((start, _)) => format!("{start} in IDR0"),
            None => line.split_whitespace().collect::<Vec<_>>().join(" "),
        }
    })
    .collect()
}

impl Story {
    /// Reads [`lines`].
    ///
    /// # Errors
    /// What is missing, or does not fit together.
    pub fn read(lines: &[String]) -> Result<Self, String> {
        let behind = |start: &str| {
            let found = lines.iter().find_map(|line| line.strip_prefix(start));
            found.map(str::to_owned).ok_or_else(|| format!("the host has not printed `{start}`"))
        };
        let verdict = behind("PASS story: ")?;
        let total = |name: &str| {
            let number = verdict.split(", ").find_map(|part| part.strip_suffix(name));
            let number = number.and_then(|number| number.trim().parse::<u64>().ok());
            number.ok_or_else(|| format!("`PASS story: {verdict}` has no number of{name}"))
        };
        let totals = [total(" events")?, total(" errors")?, total(" interrupts")?];
        let interrupts = behind("PSMMU_INFO: ")?;
        let eventq = interrupts
            .split(", ")
            .find_map(|part| part.trim().strip_prefix("EVENTQ ")?.parse().ok());
        let known =
            ["test image at NS-EL2, RMI ", "PSMMU_INFO: ", "PASS ", "event ", "no RME_IMPL"];
        let others = lines.iter().filter(|line| !known.iter().any(|start| line.starts_with(start)));
        let mut story = Self {
            rmi: behind("test image at NS-EL2, RMI ")?,
            interrupts,
            eventq,
            has_one_interface: lines.iter().any(|line| line.starts_with("no RME_IMPL")),
            transfers: Vec::new(),
            notes: others.cloned().collect(),
            verdict,
            totals,
        };
        for line in lines.iter().filter_map(|line| line.strip_prefix("event ")) {
            story.add(printed(line)?);
        }
        if story.events() > totals[0] || story.transfers.len() as u64 > totals[2] {
            return Err(format!(
                "{} events of {} interrupts were printed, and `PASS story: {}` has fewer",
                story.events(),
                story.transfers.len(),
                story.verdict
            ));
        }
        Ok(story)
    }

    fn add(&mut self, record: Printed) {
        // The words of a transfer are next to each other, transfers are a page apart.
        if let Some(transfer) = self.transfers.last_mut()
            && transfer.first.what == record.what
            && transfer.first.stream == record.stream
            && let (Some(last), Some(input)) = (transfer.last, record.input)
            && last.checked_add(4) == Some(input)
        {
            transfer.records += 1;
            transfer.last = record.input;
            return;
        }
        self.transfers.push(Transfer { last: record.input, records: 1, first: record });
    }

    /// Returns how many events were printed.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.transfers.iter().map(|transfer| transfer.records).sum()
    }
}

fn printed(line: &str) -> Result<Printed, String> {
    let unreadable = || format!("`event {line}` is not how the host prints an event");
    let (event, stream) = line.split_once(" by stream ").ok_or_else(unreadable)?;
    let (what, input) = match event.split_once(" input 0x") {
        None => (event, None),
        Some((what, digits)) => {
            let digits = digits.trim().replace('_', "");
            (what, Some(u64::from_str_radix(&digits, 16).map_err(|_| unreadable())?))
        }
    };
    Ok(Printed { what: what.trim().into(), input, stream: stream.trim().into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "rmm: granule tracker\r\n\
        host: test image at NS-EL2, RMI 2.0\r\n\
        host: no RME_IMPL in IDR0 0xd44101b: one interface\r\n\
        host: PSMMU_INFO: wired, GERROR 109, EVENTQ 106, PRIQ none\r\n\
        host: event 0x10 F_TRANSLATION  write  stage 2  input 0x5000_0000     by stream 8\r\n\
        host: event 0x10 F_TRANSLATION  write  stage 2  input 0x5000_1000     by stream 8\r\n\
        host: event 0x10 F_TRANSLATION  write  stage 2  input 0x5000_1004     by stream 8\r\n\
        host: event 0x02 C_BAD_STREAMID       by stream 64\r\n\
        host: PASS story: 4 events, 0 errors, 3 interrupts, 50 checks\r\n";

    fn read(log: &str) -> Result<Story, String> {
        Story::read(&lines(log))
    }

    #[test]
    fn words_next_to_each_other_are_one_transfer() {
        let story = read(LOG).expect("a story");
        let transfers = &story.transfers;
        let seen: Vec<_> =
            transfers.iter().map(|it| (it.first.input, it.records, it.last)).collect();
        assert_eq!(
            seen,
            [
                (Some(0x5000_0000), 1, Some(0x5000_0000)),
                (Some(0x5000_1000), 2, Some(0x5000_1004)),
                (None, 1, None)
            ]
        );
        assert_eq!(transfers[0].first.what, "0x10 F_TRANSLATION write stage 2");
        assert_eq!(transfers[2].first.stream, "64");
        assert_eq!((story.eventq, story.totals), (Some(106), [4, 0, 3]));
        assert!(story.has_one_interface);
        assert!(story.notes.is_empty());
    }

    #[test]
    fn counts_of_checks_and_values_of_idr0_are_left_out() {
        let other = LOG.replace("50 checks", "51 checks").replace("0xd44101b", "0x1");
        assert_eq!(lines(LOG), lines(&other));
        let other = LOG.replace("3 interrupts", "4 interrupts");
        assert_ne!(lines(LOG), lines(&other));
    }

    #[test]
    fn a_log_that_is_no_story_says_what_it_lacks() {
        for (from, to, why) in [
            ("host: PASS", "host: FAIL", "not printed `PASS story: `"),
            ("PSMMU_INFO: ", "", "not printed `PSMMU_INFO: `"),
            ("3 interrupts", "2 interrupts", "has fewer"),
            ("input 0x5000_1000", "input 0xwrong", "not how the host prints"),
            ("0 errors", "no errors", "no number of errors"),
        ] {
            let error = read(&LOG.replace(from, to)).expect_err(to);
            assert!(error.contains(why), "{error}");
        }
    }
}
