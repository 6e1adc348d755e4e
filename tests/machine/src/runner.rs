//! Runs boots side by side and says how each test ended.

use std::collections::VecDeque;
use std::sync::mpsc::channel;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::Result;

use crate::boot::{Boot, Verdict};
use crate::compat::table;
use crate::parts::Parts;

/// Prints the tests, a line each.
pub fn list(boots: &[Boot]) {
    for boot in boots {
        for test in &boot.tests {
            println!("{}", boot.full_name(test));
        }
    }
}

/// Runs all boots, `jobs` at a time, the longest first; true if every test passed.
///
/// The table of guests notes what was run of it; `is_table_for_support` brings it to `SUPPORT.md` too.
///
/// # Errors
/// What goes on the images does not build, or the table cannot be written.
pub fn run(mut boots: Vec<Boot>, jobs: usize, is_table_for_support: bool) -> Result<bool> {
    let parts = Parts::find()?;
    let began = Instant::now();
    boots.sort_by_key(|boot| std::cmp::Reverse(boot.seconds));
    let queue = Mutex::new(boots.iter().collect::<VecDeque<_>>());
    let (sender, verdicts) = channel();
    let mut failed = Vec::new();
    let mut passed = 0_u32;
    let mut recorded = Ok(());
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            let sender = sender.clone();
            let (queue, parts) = (&queue, &parts);
            scope.spawn(move || {
                loop {
                    let next = queue
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .pop_front();
                    let Some(boot) = next else { return };
                    boot.run(parts, &sender);
                }
            });
        }
        drop(sender);
        for verdict in verdicts {
            say(&verdict);
            // At once: a run of hours may be broken off.
            if let Err(error) = table::note(&verdict.test, verdict.outcome.is_ok()) {
                recorded = Err(error);
            }
            match verdict.outcome {
                Ok(()) => passed += 1,
                Err(_) => failed.push(verdict.test),
            }
        }
    });
    recorded?;
    if is_table_for_support {
        table::bring_to_support()?;
    }
    println!("machine tests took {:.0} s", began.elapsed().as_secs_f32());
    for test in &failed {
        println!("failed: {test}");
    }
    if !failed.is_empty() {
        println!("what each machine said is in target/logs/; run one test: cargo xtask test NAME");
    }
    println!("{passed} passed, {} failed", failed.len());
    Ok(failed.is_empty())
}

fn say(verdict: &Verdict) {
    let word = if verdict.outcome.is_ok() {
        "pass"
    } else {
        "FAIL"
    };
    println!(
        "{word}  {:<48} {:6.1} s",
        verdict.test,
        verdict.took.as_secs_f32()
    );
    if let Err(reason) = &verdict.outcome {
        for line in reason.lines() {
            println!("      {line}");
        }
    }
}
