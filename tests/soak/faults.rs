//! The collector's bad days.

use std::{sync::mpsc, time::Duration};

use tracewell::testing::{Collector, Fault, Signal};

use crate::dice::Dice;

const SIGNALS: [Signal; 3] = [Signal::Traces, Signal::Metrics, Signal::Logs];

/// Changes what the collector does until `stop` is gone, and leaves it well.
pub(crate) fn trouble(collector: &Collector, mut dice: Dice, stop: &mpsc::Receiver<()>) {
    loop {
        let pause = Duration::from_millis(20) + dice.up_to(Duration::from_millis(150));
        if stop.recv_timeout(pause) != Err(mpsc::RecvTimeoutError::Timeout) {
            break;
        }
        match dice.below(12) {
            0 => collector.refuse(),
            1 => collector.silence(),
            2..=4 => {
                collector.clear();
                collector.revive();
            }
            5 => collector.script_all((0..dice.below(20)).map(|_| fault(&mut dice)).collect::<Vec<_>>()),
            6 => collector.set_all(fault(&mut dice)),
            7 => collector.clear(),
            _ => collector.set(*dice.pick(&SIGNALS), fault(&mut dice)),
        }
    }
    collector.clear();
    collector.revive();
}

fn fault(dice: &mut Dice) -> Fault {
    match dice.below(11) {
        0 => Fault::Hang,
        1 => Fault::Delay(dice.up_to(Duration::from_millis(1500))),
        2 => Fault::throttled(Duration::ZERO),
        3 => Fault::bad_request(),
        4 => Fault::unauthenticated(),
        5 => Fault::PartialSuccess { rejected: dice.below(2000), message: "some".to_owned() },
        6 => Fault::Garbage,
        7 => Fault::ResetMidBody,
        8 => Fault::Close,
        9 => Fault::Status { http: 413, grpc: 8, retry_after: None },
        _ => Fault::unavailable(),
    }
}
