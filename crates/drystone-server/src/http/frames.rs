//! How much a client may say on an HTTP/2 connection besides its calls, and what each of its
//! frames costs of that.
//!
//! Frames without a call in them make a server work, and cost a client nothing. None of them has
//! a limit in HTTP/2, and few have one in its library. Honest clients send them in return for what
//! they hear: an acknowledgement of settings, a window that was used up, a ping that measures the
//! way. So what a connection is sent earns it frames, and beside that it has some for every second.

use std::time::Duration;
use tokio::time::Instant;

/// Frames that a connection may send at once, without anything in return. A client that gives up
/// a thousand calls at one moment stays below.
const AT_ONCE: i64 = 2_000;
/// Frames for every second. Libraries ping at most once for each round trip, while bytes flow.
const PER_SECOND: i64 = 1_000;
/// Bytes that a connection has to be sent for one frame more. The answer to a ping or to settings
/// is shorter, so that a flood of these does not pay for itself; an event that a client of Go
/// answers with a window and a ping is twice as long.
const BYTES_PER_FRAME: usize = 32;
/// The most that a connection may have earned.
const EARNED_MAX: i64 = 20_000;
/// A connection that owes frames is not read for as long as it takes to earn this many more.
const AHEAD: i64 = 50;
/// How long a client may send more than it may, slowed down all the while, until its connection
/// is ended.
const FLOOD_MAX: Duration = Duration::from_secs(10);
/// A client that was quiet for so long begins anew.
const QUIET: Duration = Duration::from_secs(5);
/// What a call costs that is given up: the work for it was done.
const RESET: i64 = 2;
/// Bytes of headers that cost nothing. Those of honest calls are shorter, with a token too.
const HEADERS_BYTES: usize = 2 << 10;
/// Bytes of headers beyond these for each of which a call costs a frame.
const MORE_HEADERS_BYTES: usize = 512;

/// Bytes of a frame before its payload (RFC 9113, 4.1).
const HEAD_BYTES: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;

/// Finds frames in the bytes of a connection.
#[derive(Debug)]
pub(super) struct Frames {
    head: [u8; HEAD_BYTES],
    /// Bytes of `head` that are there.
    filled: usize,
    /// Bytes before the next head.
    skip: usize,
}

/// What came in some bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Came {
    /// Frames that began.
    pub(super) frames: usize,
    /// What they cost together.
    pub(super) cost: i64,
}

impl Frames {
    /// Frames that follow `preface` bytes of something else.
    pub(super) fn after(preface: usize) -> Self {
        Self { head: [0; HEAD_BYTES], filled: 0, skip: preface }
    }

    /// Looks at the next bytes of the connection.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Came {
        let mut came = Came::default();
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            if bytes.is_empty() {
                return came;
            }
            let taken = (HEAD_BYTES - self.filled).min(bytes.len());
            self.head[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            if self.filled < HEAD_BYTES {
                return came;
            }
            self.filled = 0;
            let [a, b, c, kind, flags, ..] = self.head;
            let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
            self.skip = length;
            came.frames += 1;
            came.cost += cost(kind, flags, length);
        }
    }
}

/// What a frame costs.
fn cost(kind: u8, flags: u8, length: usize) -> i64 {
    let more_headers = length.saturating_sub(HEADERS_BYTES) / MORE_HEADERS_BYTES;
    let of_headers = || i64::try_from(more_headers).unwrap_or(i64::MAX);
    match kind {
        DATA => i64::from(length == 0 && flags & END_STREAM == 0),
        HEADERS => of_headers(),
        CONTINUATION => 1 + of_headers(),
        RST_STREAM => RESET,
        // SETTINGS, PING, WINDOW_UPDATE, PRIORITY, and what nobody knows.
        _ => 1,
    }
}

/// What a connection may still send.
#[derive(Debug)]
pub(super) struct Allowance {
    left: i64,
    /// Bytes that were sent to it and have earned nothing yet.
    bytes: usize,
    /// When it was last given something for the time that went by.
    given: Instant,
    /// Since when it has been sending more than it may.
    flooding: Option<Flooding>,
}

#[derive(Clone, Copy, Debug)]
struct Flooding {
    since: Instant,
    last: Instant,
}

/// What is to be done with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is read on.
    Go,
    /// It is not read until then.
    Wait(Instant),
    /// It is ended.
    End,
}

impl Allowance {
    pub(super) fn new(now: Instant) -> Self {
        Self { left: AT_ONCE, bytes: 0, given: now, flooding: None }
    }

    /// Bytes were sent to the client.
    pub(super) fn earn(&mut self, bytes: usize) {
        self.bytes += bytes;
        if self.bytes >= BYTES_PER_FRAME {
            let frames = i64::try_from(self.bytes / BYTES_PER_FRAME).unwrap_or(EARNED_MAX);
            self.bytes %= BYTES_PER_FRAME;
            self.left = self.left.saturating_add(frames).min(EARNED_MAX);
        }
    }

    /// The client sent what costs so much. The time is asked for only when it counts.
    pub(super) fn spend(&mut self, cost: i64, now: impl FnOnce() -> Instant) -> Verdict {
        self.left = self.left.saturating_sub(cost);
        if self.left >= 0 {
            return Verdict::Go;
        }
        let now = now();
        let millis = i64::try_from((now - self.given).as_millis()).unwrap_or(i64::MAX);
        let frames = millis.saturating_mul(PER_SECOND) / 1_000;
        self.left = self.left.saturating_add(frames).min(self.left.max(AT_ONCE));
        self.given = now;
        if self.left >= 0 {
            return Verdict::Go;
        }
        let flooding = match self.flooding {
            Some(flooding) if now - flooding.last < QUIET => Flooding { last: now, ..flooding },
            _ => Flooding { since: now, last: now },
        };
        if now - flooding.since >= FLOOD_MAX {
            return Verdict::End;
        }
        let millis = (AHEAD - self.left).saturating_mul(1_000) / PER_SECOND;
        let until = now + Duration::from_millis(millis.unsigned_abs());
        self.flooding = Some(Flooding { last: until, ..flooding });
        Verdict::Wait(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: u8 = 6;
    const WINDOW_UPDATE: u8 = 8;

    fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let [.., a, b, c] = length.to_be_bytes();
        let mut bytes = vec![a, b, c, kind, flags, 0, 0, 0, 1];
        bytes.resize(HEAD_BYTES + length, 0xff);
        bytes
    }

    #[test]
    fn frames_are_found_however_bytes_come() {
        let all = [
            vec![b'P'; 24],
            frame(PING, 0, 8),
            frame(DATA, 0, 300),
            frame(DATA, 0, 0),
            frame(DATA, END_STREAM, 0),
            frame(HEADERS, 4, 70),
            frame(HEADERS, 4, 16 << 10),
            frame(RST_STREAM, 0, 4),
            frame(CONTINUATION, 0, 0),
            frame(200, 0, 0),
        ]
        .concat();
        let expected = Came { frames: 9, cost: 1 + 1 + 28 + 2 + 1 + 1 };
        for size in [1, 2, 7, 9, 10, 1_000, all.len()] {
            let mut frames = Frames::after(24);
            let mut came = Came::default();
            for piece in all.chunks(size) {
                let Came { frames, cost } = frames.read(piece);
                came.frames += frames;
                came.cost += cost;
            }
            assert_eq!(came, expected, "{size}");
        }
    }

    /// What comes of a client that sends `cost` every `step`, and waits when it is made to.
    fn spent(cost: i64, step: Duration, time: Duration) -> (i64, Verdict) {
        let begun = Instant::now();
        let (mut now, mut taken) = (begun, 0);
        let mut allowance = Allowance::new(now);
        loop {
            match allowance.spend(cost, || now) {
                Verdict::Wait(until) => now = until,
                Verdict::Go => {}
                Verdict::End => return (taken, Verdict::End),
            }
            taken += cost;
            now += step;
            if now - begun > time {
                return (taken, Verdict::Go);
            }
        }
    }

    #[test]
    fn a_flood_is_slowed_down_and_then_ended() {
        let (taken, verdict) = spent(900, Duration::from_micros(50), Duration::from_secs(60));
        assert_eq!(verdict, Verdict::End);
        let most = AT_ONCE + 900 + PER_SECOND * 12;
        assert!(taken < most, "{taken} frames");
    }

    #[test]
    fn a_client_that_keeps_to_its_rate_is_never_stopped() {
        let (_, verdict) = spent(9, Duration::from_millis(10), Duration::from_secs(600));
        assert_eq!(verdict, Verdict::Go);
    }

    #[test]
    fn a_client_that_gives_up_a_thousand_calls_at_once_is_not_made_to_wait() {
        let mut allowance = Allowance::new(Instant::now());
        for _ in 0..1_000 {
            assert_eq!(allowance.spend(RESET, || panic!("time does not count")), Verdict::Go);
        }
    }

    /// As Go's library does with each event while it measures the way: a window and a ping.
    #[test]
    fn a_client_that_answers_every_event_is_never_made_to_wait() {
        let now = Instant::now();
        let mut allowance = Allowance::new(now);
        let answer = [frame(WINDOW_UPDATE, 0, 4), frame(PING, 0, 8)].concat();
        let mut frames = Frames::after(0);
        for _ in 0..1_000_000 {
            // The head of a frame and of a message, a response's header and a small event.
            allowance.earn(HEAD_BYTES + 5 + 25 + 30);
            let came = frames.read(&answer);
            // All of it at one moment: only what was earned counts.
            assert_eq!(allowance.spend(came.cost, || now), Verdict::Go);
        }
    }

    #[test]
    fn the_answers_to_a_flood_do_not_pay_for_it() {
        let now = Instant::now();
        let mut allowance = Allowance::new(now);
        let mut taken = 0;
        while allowance.spend(1, || now) == Verdict::Go {
            taken += 1;
            assert!(taken < 3 * AT_ONCE, "it goes on for ever");
            allowance.earn(HEAD_BYTES + 8);
        }
    }
}
