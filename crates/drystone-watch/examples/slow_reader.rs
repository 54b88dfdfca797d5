//! A reader that falls behind costs the writer nothing and misses nothing.
//!
//! `cargo run -p drystone-watch --example slow_reader`

use drystone_types::KeyRange;
use drystone_watch::{Config, Create, History, Hub, MemoryHistory};
use std::io::Write;
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout();
    let mut store = MemoryHistory::new();
    let config = Config { queue_bytes_max: 16 << 10, ..Config::default() };
    let mut hub = Hub::new(config, 1, store.revision(), store.compacted());

    let slow = hub.open_stream(Duration::ZERO);
    let fast = hub.open_stream(Duration::ZERO);
    for stream in [slow, fast] {
        hub.create(stream, Create::new(KeyRange::prefix(b"job/")));
    }

    let mut heard = 0;
    for number in 0..10_000 {
        let change = store.put_one(format!("job/{}", number % 100), vec![b'x'; 100]);
        hub.publish(&[change], &store);
        for stream in hub.ready_streams() {
            if stream == fast {
                let responses = hub.drain(fast, usize::MAX);
                heard += responses.iter().map(|response| response.events.len()).sum::<usize>();
            }
        }
    }
    writeln!(out, "the fast reader heard {heard} events; the hub holds {:?}", hub.stats())?;

    let (mut heard, mut rounds) = (0, 0);
    while hub.has_output(slow) || hub.wants_catch_up() {
        let responses = hub.drain(slow, usize::MAX);
        heard += responses.iter().map(|response| response.events.len()).sum::<usize>();
        hub.catch_up(&store, 1000)?;
        rounds += 1;
    }
    writeln!(out, "the slow reader heard {heard} events in {rounds} rounds; {:?}", hub.stats())?;
    Ok(())
}
