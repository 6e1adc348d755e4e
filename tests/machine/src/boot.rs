//! One boot and the tests that share it.

use std::collections::BTreeSet;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use crate::beds::{Bed, Shape};
use crate::parts::Parts;
use crate::test_machine::TestMachine;

/// What a boot does; it reports each test to the story_run as it ends.
pub type Story = Box<dyn Fn(&mut StoryRun<'_>) -> Result<()> + Send + Sync>;

/// One boot of a machine, or a few in a row.
pub struct Boot {
    /// Where.
    pub bed: Bed,
    /// What it is about; unique in its bed.
    pub name: String,
    /// Its tests, without the bed.
    pub tests: Vec<String>,
    /// About how long it takes, in seconds; the longest begins first.
    pub seconds: u32,
    /// Left out unless all are asked for.
    pub is_long: bool,
    /// What is done.
    pub story: Story,
}

impl Boot {
    /// A boot with these tests.
    pub fn new<S: Into<String>>(
        bed: Bed,
        name: &str,
        seconds: u32,
        tests: impl IntoIterator<Item = S>,
        story: impl Fn(&mut StoryRun<'_>) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self {
            bed,
            name: name.to_owned(),
            tests: tests.into_iter().map(Into::into).collect(),
            seconds,
            is_long: false,
            story: Box::new(story),
        }
    }

    /// Only runs when all are asked for.
    #[must_use]
    pub fn long(mut self) -> Self {
        self.is_long = true;
        self
    }

    /// Without one of its tests.
    #[must_use]
    pub fn without(mut self, test: &str) -> Self {
        self.tests.retain(|known| known != test);
        self
    }

    /// A test's whole name.
    pub fn full_name(&self, test: &str) -> String {
        format!("{}/{test}", self.bed.name)
    }

    /// Runs the story; every test is heard of exactly once.
    pub fn run(&self, parts: &Parts, verdicts: &Sender<Verdict>) {
        let mut story_run = StoryRun {
            boot: self,
            parts,
            verdicts,
            began: Instant::now(),
            open: self.tests.iter().cloned().collect(),
        };
        let outcome = (self.story)(&mut story_run);
        let open = std::mem::take(&mut story_run.open);
        let mut reason = match outcome {
            Ok(()) => "the story ended without a word on it".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        for test in open {
            story_run.tell(&test, Err(anyhow!("{reason}")));
            reason = "not reached: see the failure above it in the same boot".to_owned();
        }
    }
}

/// How a test ended.
#[derive(Debug)]
pub struct Verdict {
    /// Its whole name.
    pub test: String,
    /// `Err` says why it failed.
    pub outcome: Result<(), String>,
    /// Since the boot began.
    pub took: Duration,
}

/// What a story works with.
pub struct StoryRun<'a> {
    boot: &'a Boot,
    /// What was built.
    pub parts: &'a Parts,
    verdicts: &'a Sender<Verdict>,
    began: Instant,
    open: BTreeSet<String>,
}

impl StoryRun<'_> {
    /// Where this plays.
    pub fn bed(&self) -> Bed {
        self.boot.bed
    }

    /// True if this test was asked for and has no verdict yet.
    pub fn is_open(&self, test: &str) -> bool {
        self.open.contains(test)
    }

    /// Tests without a verdict.
    pub fn open(&self) -> Vec<String> {
        self.open.iter().cloned().collect()
    }

    /// Says how a test ended; only the first word counts, and only for tests that were asked for.
    pub fn verdict(&mut self, test: &str, outcome: Result<()>) {
        if self.open.remove(test) {
            self.tell(test, outcome);
        }
    }

    /// The test passed.
    pub fn pass(&mut self, test: &str) {
        self.verdict(test, Ok(()));
    }

    fn tell(&self, test: &str, outcome: Result<()>) {
        let verdict = Verdict {
            test: self.boot.full_name(test),
            outcome: outcome.map_err(|error| format!("{error:#}")),
            took: self.began.elapsed(),
        };
        // Nobody listens only when the whole run is over.
        let _ = self.verdicts.send(verdict);
    }

    /// Makes the image and starts the machine.
    ///
    /// # Errors
    /// The image cannot be made or the emulator not started.
    pub fn start(&self, image: &xtask::image::Spec, shape: Shape) -> Result<TestMachine> {
        let log_name = format!("{}-{}", self.boot.bed.name, self.boot.name);
        TestMachine::start(self.boot.bed, &log_name, image, shape)
    }
}
