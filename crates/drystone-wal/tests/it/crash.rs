//! Random lives of a log, each with crashes, against the twin.

use crate::world::{World, small};
use drystone_wal::Error;
use drystone_wal::testing::{CrashMode, Misread, Op};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Append {
        count: u64,
        back: u64,
        bytes: usize,
        vote: bool,
    },
    Sync,
    Compact {
        quarters: usize,
    },
    Snapshot {
        quarters: usize,
        ahead: Option<u64>,
        foreign: bool,
    },
    Attest,
    Tend {
        budget: u64,
    },
    /// With a read of the opening behind it that goes wrong.
    Crash(CrashMode, Option<(Misread, u64)>),
    Kill,
    DropCaches,
    Close,
    Fault {
        op: Op,
        n: u64,
    },
}

fn mode() -> impl Strategy<Value = CrashMode> {
    prop_oneof![
        1 => Just(CrashMode::Keep),
        1 => Just(CrashMode::Lose),
        2 => Just(CrashMode::Prefix),
        4 => Just(CrashMode::Scatter),
        2 => Just(CrashMode::Zeros),
    ]
}

fn misread() -> impl Strategy<Value = (Misread, u64)> {
    let how = prop_oneof![Just(Misread::Flip), Just(Misread::Stale), Just(Misread::Misdirected)];
    (how, 1u64..6)
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        1 => Just(Op::Write),
        2 => Just(Op::SyncData),
        1 => Just(Op::SyncDir),
        1 => Just(Op::Rename),
        1 => Just(Op::Resize),
        2 => Just(Op::AnyChange),
    ]
}

fn calm_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (1u64..6, prop_oneof![3 => Just(0u64), 1 => 1u64..4], 0usize..300, any::<bool>())
            .prop_map(|(count, back, bytes, vote)| Step::Append { count, back, bytes, vote }),
        8 => Just(Step::Sync),
        3 => (0usize..=4).prop_map(|quarters| Step::Compact { quarters }),
        1 => (0usize..=4, prop::option::of(0u64..3), any::<bool>()).prop_map(
            |(quarters, ahead, foreign)| Step::Snapshot { quarters, ahead, foreign }
        ),
        2 => Just(Step::Attest),
        1 => (0u64..4000).prop_map(|budget| Step::Tend { budget }),
        3 => (mode(), prop::option::of(misread()))
            .prop_map(|(mode, misread)| Step::Crash(mode, misread)),
        2 => Just(Step::Kill),
        1 => Just(Step::DropCaches),
        1 => Just(Step::Close),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        9 => calm_step(),
        1 => (op(), 1u64..5).prop_map(|(op, n)| Step::Fault { op, n }),
    ]
}

fn take(world: &mut World, step: &Step) -> Result<(), Error> {
    match step {
        Step::Append { count, back, bytes, vote } => world.append(*count, *back, *bytes, *vote),
        Step::Sync => world.sync(),
        Step::Compact { quarters } => world.compact(*quarters),
        Step::Snapshot { quarters, ahead, foreign } => world.snapshot(*quarters, *ahead, *foreign),
        Step::Attest => world.wal().attest(),
        Step::Tend { budget } => {
            // A failure of this is no failure of the log.
            let _ = world.wal().tend(*budget);
            assert!(!world.wal().is_poisoned());
            Ok(())
        }
        Step::Crash(mode, misread) => {
            world.crash(*mode);
            if let Some((how, n)) = misread {
                world.disk.misread_nth(*how, *n);
            }
            world.reopen()
        }
        Step::Kill => {
            world.kill();
            world.reopen()
        }
        Step::DropCaches => {
            world.disk.drop_caches();
            Ok(())
        }
        Step::Close => {
            let wal = world.wal.take().expect("the log is open");
            wal.close()?;
            world.twin.synced();
            world.disk.crash(CrashMode::Lose);
            world.reopen()
        }
        Step::Fault { op, n } => {
            world.disk.fail_nth(*op, *n);
            Ok(())
        }
    }
}

/// After a failure nothing is accepted; the next life must find what the twin allows.
fn recover_from(world: &mut World, error: &Error, mode: Option<CrashMode>) {
    assert!(matches!(error, Error::Io { .. }), "only the disk fails here: {error:?}");
    if let Some(wal) = &mut world.wal {
        assert!(wal.is_poisoned());
        assert!(matches!(wal.append(&[], None), Err(Error::Poisoned)));
        assert!(matches!(wal.sync(), Err(Error::Poisoned)));
        assert!(matches!(wal.attest(), Err(Error::Poisoned)));
        assert!(matches!(wal.tend(1), Err(Error::Poisoned)));
    }
    match mode {
        Some(mode) => world.crash(mode),
        None => world.kill(),
    }
    world.reopen().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn after_a_crash_there_is_what_was_synced_and_a_prefix_of_the_rest(
        seed in any::<u64>(),
        segment_bytes in 512u32..3000,
        recycle in 0usize..3,
        steps in prop::collection::vec(calm_step(), 1..70),
    ) {
        let mut config = small(segment_bytes);
        config.recycle_segments_max = recycle;
        let mut world = World::new(seed, config);
        for step in &steps {
            take(&mut world, step).unwrap();
        }
        world.sync().unwrap();
        world.crash(CrashMode::Lose);
        world.reopen().unwrap();
        prop_assert!(world.wal().segments_spare() <= recycle);
    }

    #[test]
    fn a_failing_disk_stops_the_log_and_takes_nothing_that_was_synced(
        seed in any::<u64>(),
        segment_bytes in 512u32..3000,
        steps in prop::collection::vec((step(), prop::option::of(mode())), 1..70),
    ) {
        let mut world = World::new(seed, small(segment_bytes));
        for (step, mode) in &steps {
            if let Err(error) = take(&mut world, step) {
                recover_from(&mut world, &error, *mode);
            }
        }
        world.kill();
        world.reopen().unwrap();
        world.crash(CrashMode::Lose);
        world.reopen().unwrap();
    }
}
