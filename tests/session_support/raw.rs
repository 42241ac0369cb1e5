//! A client that writes the protocol's bytes itself, for what drivers never do.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use margay::wire::postgres::frame::{self, Frame};
use margay::wire::postgres::frontend::{self, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub struct Raw {
    pub stream: TcpStream,
    input: BytesMut,
    pub out: BytesMut,
    pub pid: u32,
    pub secret: Vec<u8>,
}

impl Raw {
    /// Logged in as `app`, with these startup parameters besides.
    pub async fn connect(address: SocketAddr, extra: &[(&str, &str)]) -> Raw {
        Self::connect_to(address, "app", extra).await
    }

    pub async fn connect_to(address: SocketAddr, database: &str, extra: &[(&str, &str)]) -> Raw {
        let stream = TcpStream::connect(address).await.expect("the proxy listens");
        stream.set_nodelay(true).expect("a TCP socket");
        let mut raw = Raw {
            stream,
            input: BytesMut::new(),
            out: BytesMut::new(),
            pid: 0,
            secret: Vec::new(),
        };
        let mut params: Vec<(&[u8], &[u8])> = vec![(b"user", b"app"), (b"database", database.as_bytes())];
        params.extend(extra.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())));
        frontend::startup(&mut raw.out, params);
        for frame in raw.until_ready().await {
            if frame.tag == b'K' {
                raw.pid = u32::from_be_bytes(frame.body()[..4].try_into().expect("four bytes"));
                raw.secret = frame.body()[4..].to_vec();
            }
        }
        raw
    }

    pub async fn send(&mut self) {
        let out = self.out.split();
        self.stream.write_all(&out).await.expect("the proxy reads");
    }

    /// The next frame; None: the connection was closed.
    pub async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = frame::split(&mut self.input, frame::MAX_SERVER).expect("valid frames") {
                return Some(frame);
            }
            // A limit that only a defect reaches: a test that hangs would leave its servers behind.
            let read =
                tokio::time::timeout(Duration::from_secs(30), self.stream.read_buf(&mut self.input)).await;
            match read.expect("the proxy answers") {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// Sends what is queued and reads up to ReadyForQuery.
    pub async fn until_ready(&mut self) -> Vec<Frame> {
        self.send().await;
        let mut frames = Vec::new();
        loop {
            let frame = self
                .frame()
                .await
                .expect("an answer before the end of the connection");
            let last = frame.tag == b'Z';
            frames.push(frame);
            if last {
                return frames;
            }
        }
    }

    /// Sends what is queued and reads up to CopyInResponse, or to ReadyForQuery if none comes.
    pub async fn until_copy(&mut self) -> Vec<Frame> {
        self.send().await;
        let mut frames = Vec::new();
        loop {
            let frame = self
                .frame()
                .await
                .expect("an answer before the end of the connection");
            let last = matches!(frame.tag, b'G' | b'Z');
            frames.push(frame);
            if last {
                return frames;
            }
        }
    }

    /// A simple query: tags of the answer without notices, and the status.
    pub async fn query(&mut self, sql: &str) -> Answer {
        frontend::query(&mut self.out, sql.as_bytes());
        Answer(self.until_ready().await)
    }

    pub fn parse(&mut self, name: &str, sql: &str) -> &mut Self {
        frontend::parse(&mut self.out, name.as_bytes(), sql.as_bytes(), []);
        self
    }

    pub fn bind(&mut self, portal: &str, statement: &str, params: &[&str]) -> &mut Self {
        let values = params.iter().map(|p| Some(p.as_bytes()));
        frontend::bind(
            &mut self.out,
            portal.as_bytes(),
            statement.as_bytes(),
            &[],
            values,
            &[],
        );
        self
    }

    pub fn describe_statement(&mut self, name: &str) -> &mut Self {
        frontend::describe(&mut self.out, Target::Statement, name.as_bytes());
        self
    }

    pub fn describe_portal(&mut self, name: &str) -> &mut Self {
        frontend::describe(&mut self.out, Target::Portal, name.as_bytes());
        self
    }

    pub fn execute(&mut self, portal: &str, max_rows: u32) -> &mut Self {
        frontend::execute(&mut self.out, portal.as_bytes(), max_rows);
        self
    }

    pub async fn sync(&mut self) -> Answer {
        frontend::sync(&mut self.out);
        Answer(self.until_ready().await)
    }
}

/// Frames up to ReadyForQuery.
pub struct Answer(pub Vec<Frame>);

impl Answer {
    /// The frames' tags in order, as text.
    pub fn tags(&self) -> String {
        self.0.iter().map(|f| char::from(f.tag)).collect()
    }

    /// The transaction status of ReadyForQuery.
    pub fn status(&self) -> char {
        self.0.last().map_or('?', |f| char::from(f.body()[0]))
    }

    /// SQLSTATE of the first error or notice with this tag.
    fn report(&self, tag: u8) -> Option<String> {
        let frame = self.0.iter().find(|f| f.tag == tag)?;
        let fields = margay::wire::postgres::backend::Fields::decode(frame.body()).expect("valid fields");
        Some(String::from_utf8_lossy(fields.sqlstate()).into_owned())
    }

    pub fn error(&self) -> Option<String> {
        self.report(b'E')
    }

    pub fn notice(&self) -> Option<String> {
        self.report(b'N')
    }

    /// The command tags.
    pub fn commands(&self) -> Vec<String> {
        let complete = self.0.iter().filter(|f| f.tag == b'C');
        complete
            .map(|f| String::from_utf8_lossy(&f.body()[..f.body().len() - 1]).into_owned())
            .collect()
    }

    /// The first column of each row, as text.
    pub fn column(&self) -> Vec<String> {
        let rows = self.0.iter().filter(|f| f.tag == b'D');
        rows.map(|f| {
            let row = margay::wire::postgres::backend::DataRow::decode(f.body()).expect("a row");
            let first = row.columns().next().expect("a column").expect("valid");
            String::from_utf8_lossy(first.unwrap_or(b"NULL")).into_owned()
        })
        .collect()
    }
}
