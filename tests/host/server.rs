//! A small HTTP server in the test's own process, that serves one file and can be made to misbehave.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Asked {
    pub path: String,
    /// the first byte wanted, where a range is asked for
    pub from: Option<usize>,
    pub if_range: Option<String>,
}

/// The server; it ends with the process.
pub struct Server {
    pub address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// one message for each half that `/held` has sent
    pub arrived: Receiver<()>,
    /// lets `/held` go on
    pub release: Sender<()>,
}

struct Served {
    file: Vec<u8>,
    tag: &'static str,
    arrived: Sender<()>,
    released: Mutex<Receiver<()>>,
}

impl Server {
    /// Serves `file` as `/file`, and under other paths in other ways.
    pub fn of(file: &[u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let ((arrived, on_arrival), (release, released)) = (channel(), channel());
        let served = Arc::new(Served { file: file.to_vec(), tag: "\"one\"", arrived, released: Mutex::new(released) });
        let log = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (served, log) = (served.clone(), log.clone());
                std::thread::spawn(move || {
                    let request = read(&stream);
                    log.lock().unwrap().push(request.clone());
                    served.answer(&request, stream);
                });
            }
        });
        Self { address, asked, arrived: on_arrival, release }
    }

    /// What was asked for so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn read(stream: &TcpStream) -> Asked {
    let mut lines = BufReader::new(stream).lines().map(|line| line.unwrap_or_default());
    let first = lines.next().unwrap_or_default();
    let mut asked = Asked { path: first.split(' ').nth(1).unwrap_or_default().to_owned(), from: None, if_range: None };
    for line in lines.take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "range" => {
                asked.from =
                    value.trim().strip_prefix("bytes=").and_then(|range| range.strip_suffix('-')?.parse().ok());
            }
            "if-range" => asked.if_range = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    asked
}

impl Served {
    /// Errors of writing are those of a client that has left.
    fn answer(&self, asked: &Asked, mut stream: TcpStream) {
        let (all, half) = (self.file.len(), self.file.len() / 2);
        let same = asked.if_range.as_ref().is_none_or(|tag| tag == self.tag);
        let from = asked.from.filter(|_| same && asked.path != "/no-ranges").unwrap_or(0);
        let status = match (asked.path.as_str(), from) {
            ("/moved", _) => "302 Found\r\nLocation: /file",
            ("/gone", _) => "404 Not Found",
            ("/busy", _) => "503 Service Unavailable",
            (_, 1..) => "206 Partial Content",
            _ => "200 OK",
        };
        let length = match asked.path.as_str() {
            "/huge" => 1 << 60,
            "/moved" | "/gone" | "/busy" => 0,
            _ => all - from,
        };
        let range = if from > 0 { format!("Content-Range: bytes {from}-{}/{all}\r\n", all - 1) } else { String::new() };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nETag: {}\r\n{range}Connection: close\r\n\r\n",
            self.tag
        );
        let _ = stream.write_all(head.as_bytes());
        let body = match asked.path.as_str() {
            "/moved" | "/gone" | "/busy" => &[],
            "/cut" if from == 0 => &self.file[..half],
            "/cut-twice" if from < half => &self.file[from..(from + half / 2 + 1).min(all)],
            "/cut-always" if from == 0 => &self.file[..half],
            "/cut-always" => &[],
            _ => &self.file[from..],
        };
        if asked.path == "/held" {
            let _ = stream.write_all(&body[..half]).and_then(|()| stream.flush());
            let _ = self.arrived.send(());
            let _ = self.released.lock().unwrap().recv();
            let _ = stream.write_all(&body[half..]);
        } else {
            let _ = stream.write_all(body);
        }
    }
}
