//! Connections, streams and bytes that do not go on.

use std::time::{Duration, Instant};

use bytes::Bytes;
use motet_proto::v1::LoadRequest;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::Status;

use super::peer::{Fates, Open, Peer, WINDOW, framed, framed_bytes};
use super::{Attack, Outcome, Target};
use crate::connection::Connection;
use crate::tensors::{raw, texts};

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "unfinished-uploads",
        about: "135 messages of 60 MiB that stop before their last byte",
        descriptors: None,
        has_keys: false,
        run: |target| Box::pin(unfinished_uploads(target)),
    },
    Attack {
        name: "unread-answers",
        about: "135 answers of 60 MiB to clients that do not read",
        descriptors: None,
        has_keys: false,
        run: |target| Box::pin(unread_answers(target)),
    },
    Attack {
        name: "idle-streams",
        about: "2 connections with 1,024 streams of requests each, and no request",
        descriptors: None,
        has_keys: false,
        run: |target| Box::pin(idle_streams(target)),
    },
    Attack {
        name: "closed-windows",
        about: "3 connections with 1,000 calls each, whose answers the client gives no window",
        descriptors: None,
        has_keys: false,
        run: |target| Box::pin(closed_windows(target)),
    },
    Attack {
        name: "health-watches",
        about: "100,000 health watches",
        descriptors: None,
        has_keys: false,
        run: |target| Box::pin(endless(target, "/grpc.health.v1.Health/Watch")),
    },
    Attack {
        name: "reflection-streams",
        about: "100,000 streams of reflection",
        descriptors: None,
        has_keys: false,
        run: |target| {
            let path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
            Box::pin(endless(target, path))
        },
    },
    Attack {
        name: "rapid-resets",
        about: "4 connections that open calls and reset them as fast as they can",
        descriptors: None,
        has_keys: false,
        run: |target| Box::pin(rapid_resets(target)),
    },
    Attack {
        name: "refused-bodies",
        about: "an honest connection, 2,000 of whose calls are refused while their bodies come",
        descriptors: None,
        has_keys: false,
        run: |target| Box::pin(refused_bodies(target)),
    },
    Attack {
        name: "idle-connections",
        about: "400 idle connections to a server of 256 file descriptors",
        descriptors: Some(256),
        has_keys: false,
        run: |target| Box::pin(idle_connections(target)),
    },
];

const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";

/// A pipeline that answers what it is asked.
const ECHO: &str = "pipeline: attack_echo\ninputs: { text: \"string[N]\" }\nnodes:\n  t: { op: \
                    select, in: { text: $text } }\noutputs: { text: $t.text }\n";

async fn unfinished_uploads(target: Target) -> Outcome {
    let (uploads, bytes) = target.size.of((16, 16 << 20), (135, 60 << 20));
    let time = target
        .size
        .of(Duration::from_secs(3), Duration::from_secs(20));
    let message = framed_bytes(&vec![0; bytes]);
    let message = message.slice(..message.len() - 1);
    let mut sending = Vec::new();
    let mut peer = None;
    for upload in 0..uploads {
        if upload % 8 == 0 {
            peer = Peer::open(target.ready.grpc, WINDOW).await;
        }
        let (Some(peer), message) = (peer.clone(), message.clone()) else {
            continue;
        };
        sending.push(tokio::spawn(async move {
            let mut open = peer.begin(INFER, &[]).await?;
            let sent = timeout(time, open.send(message, false)).await;
            Some((open, sent))
        }));
    }
    let (mut sent, mut ended, mut held) = (0, 0, Vec::new());
    for task in sending {
        match task.await.expect("an upload") {
            Some((open, Ok(true))) => {
                sent += 1;
                held.push(open);
            }
            Some((open, Err(_))) => held.push(open),
            Some((_, Ok(false))) | None => ended += 1,
        }
    }
    let told = format!("{sent} of {uploads} taken whole, {ended} ended");
    Outcome::told(told).holding(held)
}

async fn load_echo(target: Target) {
    let connection = Connection::open(target.ready.grpc).await;
    let yaml = ECHO.to_owned();
    let loaded = connection.pipelines().load(LoadRequest { yaml }).await;
    loaded.expect("the pipeline is right");
}

async fn unread_answers(target: Target) -> Outcome {
    load_echo(target).await;
    let (calls, bytes) = target.size.of((16, 16 << 20), (135, 60 << 20));
    let time = target
        .size
        .of(Duration::from_secs(3), Duration::from_secs(30));
    let text = "x".repeat(bytes);
    let message = framed(&raw("attack_echo", &[("text", texts(&[text]))]));
    let mut calling = Vec::new();
    let mut peer = None;
    for call in 0..calls {
        if call % 8 == 0 {
            peer = Peer::open(target.ready.grpc, 0).await;
        }
        let (Some(peer), message) = (peer.clone(), message.clone()) else {
            continue;
        };
        calling.push(tokio::spawn(async move {
            let mut open = peer.begin(INFER, &[]).await?;
            let sent = timeout(time, open.send(message, true)).await;
            Some((open, sent))
        }));
    }
    let (mut sent, mut held) = (0, Vec::new());
    for task in calling {
        if let Some((open, outcome)) = task.await.expect("a caller") {
            sent += usize::from(outcome == Ok(true));
            held.push(open);
        }
    }
    Outcome::told(format!("{sent} of {calls} asked")).holding(held)
}

async fn idle_streams(target: Target) -> Outcome {
    let streams = target.size.of(200, 1024);
    let paths = [
        "/motet.pipeline.Rag/RunStream",
        "/inference.GRPCInferenceService/ModelStreamInfer",
    ];
    let mut held = Vec::new();
    for _ in 0..2 {
        let Some(peer) = Peer::open(target.ready.grpc, WINDOW).await else {
            continue;
        };
        let mut open = Vec::new();
        for stream in 0..streams {
            let begin = peer.begin(paths[stream % paths.len()], &[]);
            if let Ok(Some(stream)) = timeout(Duration::from_secs(1), begin).await {
                open.push(stream);
            }
        }
        held.push((peer, open));
    }
    let open: usize = held.iter().map(|(_, open)| open.len()).sum();
    Outcome::told(format!("{open} streams opened")).holding(held)
}

async fn closed_windows(target: Target) -> Outcome {
    let calls = target.size.of(100, 1000);
    let message = framed(&raw("minilm", &[("text", texts(&["moon"]))]));
    let mut held = Vec::new();
    for _ in 0..3 {
        let Some(peer) = Peer::open(target.ready.grpc, 0).await else {
            continue;
        };
        let mut open = Vec::new();
        for _ in 0..calls {
            let begin = timeout(Duration::from_secs(1), peer.begin(INFER, &[])).await;
            let Ok(Some(mut call)) = begin else { break };
            let sent = timeout(Duration::from_secs(1), call.send(message.clone(), true));
            if sent.await == Ok(true) {
                open.push(call);
            }
        }
        held.push((peer, open));
    }
    let open: usize = held.iter().map(|(_, open)| open.len()).sum();
    Outcome::told(format!("{open} calls made")).holding(held)
}

/// Opens streams of a method that answers for as long as it is watched.
async fn endless(target: Target, path: &'static str) -> Outcome {
    let (connections, streams) = target.size.of((4, 500), (100, 1000));
    let time = target
        .size
        .of(Duration::from_secs(10), Duration::from_secs(60));
    let began = Instant::now();
    let empty = framed_bytes(&[]);
    let mut held = Vec::new();
    for _ in 0..connections {
        // A stream that the server does not take costs the attacker its patience.
        if began.elapsed() > time {
            break;
        }
        let Some(peer) = Peer::open(target.ready.grpc, WINDOW).await else {
            continue;
        };
        let mut open: Vec<Open> = Vec::new();
        for _ in 0..streams {
            let begin = timeout(Duration::from_millis(200), peer.begin(path, &[])).await;
            let Ok(Some(mut stream)) = begin else { break };
            let sent = stream.send(empty.clone(), false);
            if timeout(Duration::from_millis(200), sent).await == Ok(true) {
                open.push(stream);
            }
        }
        held.push((peer, open));
    }
    let open: usize = held.iter().map(|(_, open)| open.len()).sum();
    let (connections, streams) = (held.len(), connections * streams);
    let told = format!("{open} of {streams} streams opened, over {connections} connections");
    Outcome::told(told).holding(held)
}

async fn rapid_resets(target: Target) -> Outcome {
    let time = target
        .size
        .of(Duration::from_secs(2), Duration::from_secs(10));
    let began = Instant::now();
    let message = framed(&raw("minilm", &[("text", texts(&["moon"]))]));
    let attackers: Vec<_> = (0..4)
        .map(|_| {
            let message = message.clone();
            tokio::spawn(async move {
                let (mut resets, mut connections) = (0_usize, 0_usize);
                while began.elapsed() < time {
                    connections += 1;
                    let Some(peer) = Peer::open(target.ready.grpc, WINDOW).await else {
                        continue;
                    };
                    while began.elapsed() < time {
                        let Some(mut open) = peer.begin(INFER, &[]).await else {
                            break;
                        };
                        let _ = open.message.send_data(message.clone(), true);
                        open.message.send_reset(h2::Reason::CANCEL);
                        resets += 1;
                        if resets.is_multiple_of(64) {
                            tokio::task::yield_now().await;
                        }
                    }
                }
                (resets, connections)
            })
        })
        .collect();
    let (mut resets, mut connections) = (0, 0);
    for attacker in attackers {
        let (r, c) = attacker.await.expect("an attacker");
        resets += r;
        connections += c;
    }
    Outcome::told(format!("{resets} resets over {connections} connections"))
}

async fn refused_bodies(target: Target) -> Outcome {
    let calls = target.size.of(300, 2000);
    let body = Bytes::from(vec![0; 32 << 10]);
    let Some(peer) = Peer::open(target.ready.grpc, WINDOW).await else {
        return Outcome::told("no connection");
    };
    let mut fates = Fates::default();
    for _ in 0..calls {
        // A deadline that has passed: the server answers before the message is there.
        let Some(mut open) = peer.begin(INFER, &[("grpc-timeout", "0n")]).await else {
            fates.count(&Err(Status::unknown("the connection ended")));
            break;
        };
        for _ in 0..4 {
            if !open.send(body.clone(), false).await {
                break;
            }
        }
        fates.count(&open.end().await);
    }
    let honest = framed(&raw("minilm", &[("text", texts(&["moon"]))]));
    let after = peer.call(INFER, honest).await;
    let lost = calls - fates.of("DeadlineExceeded DEADLINE_EXCEEDED");
    Outcome::told(format!("{fates}"))
        .fault_unless(after.is_ok(), || {
            format!("the honest connection gets {after:?} after its refusals")
        })
        .fault_unless(lost == 0, || {
            format!("{lost} of its refusals did not arrive")
        })
}

async fn idle_connections(target: Target) -> Outcome {
    let mut held = Vec::new();
    for _ in 0..400 {
        let connect = TcpStream::connect(target.ready.grpc);
        if let Ok(Ok(mut socket)) = timeout(Duration::from_secs(1), connect).await {
            let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
            let _ = socket.write_all(preface).await;
            held.push(socket);
        }
    }
    let opened = held.len();
    let mut served = 0;
    for _ in 0..20 {
        let call = async {
            let connection = Connection::try_open(target.ready.grpc).await?;
            let request = raw("minilm", &[("text", texts(&["moon"]))]);
            connection.inference().model_infer(request).await.ok()
        };
        let answer = timeout(Duration::from_secs(2), call).await;
        served += usize::from(matches!(answer, Ok(Some(_))));
        if served == 0 {
            break;
        }
    }
    Outcome::told(format!(
        "{opened} opened; {served} of 20 new clients served"
    ))
    .holding(held)
    .fault_unless(served == 20, || "new clients are not served".to_owned())
}
