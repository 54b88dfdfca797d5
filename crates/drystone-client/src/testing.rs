//! A name server for tests: a few SRV records on a port of loopback.

use std::io;
use std::net::SocketAddr;

use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::net::UdpSocket;

/// Bytes of the largest question that is understood.
const QUESTION_BYTES_MAX: usize = 1500;

/// One SRV record.
#[derive(Clone, Debug)]
pub struct SrvRecord {
    /// The whole name that it stands under, for example `_etcd-server._tcp.example.test`.
    pub name: String,
    /// Its priority.
    pub priority: u16,
    /// The host that it names.
    pub target: String,
    /// The port there.
    pub port: u16,
}

impl SrvRecord {
    /// A record of priority 0.
    pub fn new(name: &str, target: &str, port: u16) -> SrvRecord {
        SrvRecord { name: name.to_owned(), priority: 0, target: target.to_owned(), port }
    }
}

/// A name server that runs until it is dropped.
#[derive(Debug)]
pub struct NameServer {
    address: SocketAddr,
    task: tokio::task::JoinHandle<io::Result<()>>,
}

impl NameServer {
    /// Starts one that knows these records and nothing else.
    ///
    /// # Errors
    /// That no port is to be had.
    pub async fn start(records: Vec<SrvRecord>) -> io::Result<NameServer> {
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        let address = socket.local_addr()?;
        let task = tokio::spawn(async move {
            let mut bytes = [0; QUESTION_BYTES_MAX];
            loop {
                let (count, from) = socket.recv_from(&mut bytes).await?;
                if let Some(answer) = answer(&records, &bytes[..count]) {
                    socket.send_to(&answer, from).await?;
                }
            }
        });
        Ok(NameServer { address, task })
    }

    /// Where it is asked.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The answer to a question; `None` to what is none.
fn answer(records: &[SrvRecord], question: &[u8]) -> Option<Vec<u8>> {
    let asked = Message::from_vec(question).ok()?;
    let query = asked.queries.first()?.clone();
    let mut answer = Message::response(asked.metadata.id, OpCode::Query);
    let is_asked = |record: &&SrvRecord| {
        let name = Name::from_utf8(&record.name);
        query.query_type() == RecordType::SRV
            && name
                .is_ok_and(|name| name.to_ascii() == query.name().to_ascii().trim_end_matches('.'))
    };
    for record in records.iter().filter(is_asked) {
        let mut target = Name::from_utf8(&record.target).ok()?;
        target.set_fqdn(true);
        let data = RData::SRV(SRV::new(record.priority, 0, record.port, target));
        answer.add_answer(Record::from_rdata(query.name().clone(), 1, data));
    }
    if answer.answers.is_empty() {
        answer.metadata.response_code = ResponseCode::NXDomain;
    }
    answer.add_query(query);
    answer.to_vec().ok()
}
