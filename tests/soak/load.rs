//! The clients: HTTP/1.1 and HTTP/2, polite and not.

use std::{net::SocketAddr, time::Duration};

use http::Request;
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::Instant};

use crate::{app::PATHS, dice::Dice};

const METHODS: [&str; 6] = ["GET", "GET", "GET", "HEAD", "DELETE", "BREW"];
/// The longest a client stays with one answer; event streams never end.
const STAY: Duration = Duration::from_millis(12);

fn request(address: SocketAddr, dice: &mut Dice) -> Request<()> {
    let path = dice.pick(&PATHS);
    let mut request = Request::builder().method(*dice.pick(&METHODS)).uri(format!("http://{address}{path}"));
    if dice.one_in(2) {
        let (trace, span) = (dice.below(u64::from(u32::MAX)) + 1, dice.below(u64::from(u32::MAX)) + 1);
        request = request.header("traceparent", format!("00-{trace:032x}-{span:016x}-01"));
    }
    if dice.one_in(8) {
        request = request.header("baggage", "user=ada;p=1,broken,tenant=%41");
    }
    request.body(()).expect("a request")
}

/// One client until `end`.
pub(crate) async fn client(address: SocketAddr, mut dice: Dice, end: Instant) {
    while Instant::now() < end {
        let connection = TcpStream::connect(address).await;
        let Ok(stream) = connection else { continue };
        // an end of the connection is a matter of course
        let _ = match dice.below(8) {
            0 => torn(stream, &mut dice).await,
            1..=3 => http1(stream, address, &mut dice, end).await,
            _ => http2(stream, address, &mut dice, end).await,
        };
    }
}

type Ended = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// A request of which only a part is sent.
async fn torn(mut stream: TcpStream, dice: &mut Dice) -> Ended {
    let whole =
        "POST /upload HTTP/1.1\r\nhost: soak\r\ncontent-length: 4000\r\n\r\n".to_owned() + &"x".repeat(4000);
    let part = &whole[..dice.below(whole.len() as u64 + 1) as usize];
    stream.write_all(part.as_bytes()).await?;
    tokio::time::sleep(dice.up_to(STAY)).await;
    Ok(())
}

/// Requests one after the other, each awaited as far as the client likes.
async fn http1(stream: TcpStream, address: SocketAddr, dice: &mut Dice, end: Instant) -> Ended {
    let stream = hyper_util::rt::TokioIo::new(stream);
    let (mut client, connection) = hyper::client::conn::http1::handshake(stream).await?;
    let connection = tokio::spawn(connection);
    let asked = async {
        while Instant::now() < end && !dice.one_in(40) {
            client.ready().await?;
            let answer = client.send_request(request(address, dice).map(|()| String::new()));
            let stay = if dice.one_in(3) { dice.up_to(STAY) } else { STAY };
            let Ok(answer) = tokio::time::timeout(stay, answer).await else { break };
            if dice.one_in(10) {
                break; // the headers were enough
            }
            let body = http_body_util::BodyExt::collect(answer?.into_body());
            match tokio::time::timeout(stay, body).await {
                Ok(body) => drop(body?),
                Err(_) => break,
            }
        }
        Ok(())
    };
    let ended = asked.await;
    drop(client);
    connection.abort();
    let _ = connection.await;
    ended
}

/// Several streams at a time, some reset, some left; in the end the connection goes with all of them.
async fn http2(stream: TcpStream, address: SocketAddr, dice: &mut Dice, end: Instant) -> Ended {
    let (client, connection) = h2::client::handshake(stream).await?;
    let connection = tokio::spawn(connection);
    let mut running = Vec::new();
    let asked = async {
        let mut client = client.ready().await?;
        while Instant::now() < end && !dice.one_in(60) {
            let (answer, mut stream) = client.send_request(request(address, dice), dice.one_in(10))?;
            match dice.below(6) {
                0 => stream.send_reset(*dice.pick(&[h2::Reason::CANCEL, h2::Reason::NO_ERROR])),
                1 => {
                    let _ = tokio::time::timeout(dice.up_to(STAY), answer).await;
                }
                2 if running.len() < 8 => running.push(answer),
                _ => {
                    let whole = async {
                        let mut body = answer.await?.into_body();
                        while let Some(data) = body.data().await {
                            let length = data?.len();
                            body.flow_control().release_capacity(length)?;
                        }
                        Ok::<_, h2::Error>(())
                    };
                    let _ = tokio::time::timeout(STAY, whole).await;
                }
            }
            if dice.one_in(20) {
                running.clear();
            }
            client = client.ready().await?;
        }
        Ok(())
    };
    let ended = asked.await;
    drop(running);
    connection.abort();
    let _ = connection.await;
    ended
}
