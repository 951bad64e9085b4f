//! Faults of time and of the connection, as a socket sees them.

mod support;

use std::sync::Arc;
use std::time::Duration;

use moojo_sim::{Fault, FaultKind};
use support::*;

#[tokio::test]
async fn cut_before_the_answer_does_no_work() {
    let (sim, _clock) = sim().await;
    let fault = sim.inject(Fault::on(SEND).kind(FaultKind::CutBeforeAnswer));
    assert!(exchange(&sim, call(&sim, SEND, &phone_body(PHONE))).await.is_none());
    assert_eq!((sim.sms_count(), fault.hits()), (0, 1));
    let [request] = sim.requests().try_into().expect("the request was read");
    assert_eq!((request.status, request.json()), (None, Some(phone_body(PHONE))));
}

#[tokio::test]
async fn a_lost_answer_comes_after_the_work() {
    let (sim, _clock) = sim().await;
    sim.inject(Fault::on(SEND).kind(FaultKind::AnswerLost));
    assert!(exchange(&sim, call(&sim, SEND, &phone_body(PHONE))).await.is_none());
    assert_eq!(sim.sms_count(), 1);
    assert_eq!(sim.requests()[0].status, None);
    let code = sim.last_code(PHONE).expect("a message");
    assert_eq!(submit(&sim, PHONE, &code).await.status, 200);
}

#[tokio::test]
async fn cut_during_the_answer_leaves_half_of_the_body() {
    let (sim, _clock) = sim().await;
    let code = send_code(&sim, PHONE).await;
    sim.inject(Fault::on(AUTH).kind(FaultKind::CutDuringAnswer));
    let mut wire = Wire::open(&sim).await;
    wire.send(call(&sim, AUTH, &code_body(PHONE, &code))).await.expect("the simulator reads");
    let half = wire.answer().await.expect("a head");
    let length: usize = half.header("content-length").expect("a length").parse().expect("a number");
    assert_eq!((half.status, half.complete, half.body.len()), (200, false, length / 2));
    assert!(half.text().starts_with(r#"{"status":"success""#));
    assert!(wire.is_closed().await);
    assert_eq!(submit(&sim, PHONE, &code).await.error(), "verificationCodeUnknown");
}

#[tokio::test]
async fn cut_after_the_answer_is_announced_by_no_header() {
    let (sim, _clock) = sim().await;
    sim.inject(Fault::on(SEND).kind(FaultKind::CutAfterAnswer));
    let mut wire = Wire::open(&sim).await;
    wire.send(call(&sim, SEND, &phone_body(PHONE))).await.expect("the simulator reads");
    let answer = wire.answer().await.expect("an answer");
    assert_eq!((answer.status, answer.complete), (200, true));
    assert_eq!(answer.header("connection"), None);
    assert!(wire.is_closed().await);

    // Also where hyper never asks for a body.
    sim.inject(Fault::any().kind(FaultKind::CutAfterAnswer));
    let mut wire = Wire::open(&sim).await;
    wire.send("HEAD /nowhere HTTP/1.1\r\nhost: sim\r\n\r\n").await.expect("the simulator reads");
    let end = wire.read_at_least(usize::MAX).await;
    assert!(end > 0, "a head, then the end");
}

#[tokio::test]
async fn without_a_fault_a_connection_is_kept() {
    let (sim, _clock) = sim().await;
    let mut wire = Wire::open(&sim).await;
    for _ in 0..3 {
        wire.send(call(&sim, SEND, &phone_body(PHONE))).await.expect("the simulator reads");
        assert_eq!(wire.answer().await.expect("an answer").status, 200);
    }
    assert_eq!(sim.connection_count(), 1);
    assert!(sim.requests().iter().all(|request| request.connection == 1));
}

#[tokio::test]
async fn latency_ends_when_the_clock_is_moved() {
    let (sim, clock) = sim().await;
    let sim = Arc::new(sim);
    sim.inject(Fault::on(SEND).kind(FaultKind::Latency(Duration::from_secs(3600))));
    let caller = Arc::clone(&sim);
    let calling = tokio::spawn(async move { post(&caller, SEND, &phone_body(PHONE)).await });
    sim.wait_for_requests(1).await;
    assert_eq!(sim.sms_count(), 0);
    until_done(&calling, || clock.advance(Duration::from_secs(3600))).await;
    assert_eq!(calling.await.expect("no panic").status, 200);
    assert_eq!(sim.sms_count(), 1);
}

#[tokio::test]
async fn a_slow_answer_is_one_to_work_that_is_done() {
    let (sim, clock) = sim().await;
    let sim = Arc::new(sim);
    sim.inject(Fault::on(SEND).kind(FaultKind::SlowAnswer(Duration::from_secs(3600))));
    let caller = Arc::clone(&sim);
    let calling = tokio::spawn(async move { post(&caller, SEND, &phone_body(PHONE)).await });
    sim.wait_for_sms(1).await;
    assert!(!calling.is_finished());
    assert_eq!(sim.requests()[0].status, None);
    until_done(&calling, || clock.advance(Duration::from_secs(3600))).await;
    assert_eq!(calling.await.expect("no panic").status, 200);
}

#[tokio::test]
async fn a_frozen_request_thaws_when_the_fault_is_removed() {
    let (sim, _clock) = sim().await;
    let sim = Arc::new(sim);
    for thaw_all in [true, false] {
        sim.clear_requests();
        let fault = sim.inject(Fault::on(SEND).kind(FaultKind::Freeze));
        let caller = Arc::clone(&sim);
        let calling = tokio::spawn(async move { post(&caller, SEND, &phone_body(PHONE)).await });
        sim.wait_for_requests(1).await;
        // Others are served meanwhile.
        assert_eq!(post(&sim, "/nowhere", &phone_body(PHONE)).await.status, 404);
        assert!(!calling.is_finished());
        if thaw_all {
            sim.clear_faults()
        } else {
            fault.remove()
        }
        assert_eq!(calling.await.expect("no panic").status, 200);
    }
}

#[tokio::test]
async fn a_shutdown_ends_frozen_requests_and_frees_the_port() {
    let (sim, _clock) = sim().await;
    sim.inject(Fault::any().always().kind(FaultKind::Freeze));
    let mut wire = Wire::open(&sim).await;
    wire.send(call(&sim, SEND, &phone_body(PHONE))).await.expect("the simulator reads");
    sim.wait_for_requests(1).await;
    sim.shutdown().await;
    assert!(wire.is_closed().await);
    assert!(tokio::net::TcpStream::connect(sim.addr()).await.is_err());
    sim.shutdown().await;
    assert_eq!(sim.requests().len(), 1, "records outlive the server");
}

#[tokio::test]
async fn dropping_it_stops_it() {
    let (sim, _clock) = sim().await;
    let addr = sim.addr();
    let mut wire = Wire::open(&sim).await;
    wire.send(call(&sim, SEND, &phone_body(PHONE))).await.expect("the simulator reads");
    assert!(wire.answer().await.is_some());
    drop(sim);
    assert!(wire.is_closed().await);
    // The listener went with the task that owned the connection.
    assert!(tokio::net::TcpStream::connect(addr).await.is_err());
}

#[tokio::test]
async fn concurrent_requests_share_out_a_limited_fault_exactly() {
    let (sim, _clock) = sim().await;
    let sim = Arc::new(sim);
    let fault = sim.inject(Fault::on(SEND).times(7).kind(FaultKind::Status(503)));
    let mut calls = tokio::task::JoinSet::new();
    for index in 0..40 {
        let sim = Arc::clone(&sim);
        let body = phone_body(&format!("+1555000{index:04}"));
        calls.spawn(async move { post(&sim, SEND, &body).await.status });
    }
    let statuses = calls.join_all().await;
    assert_eq!(statuses.iter().filter(|status| **status == 503).count(), 7);
    assert_eq!((fault.hits(), sim.sms_count()), (7, 33));
}

/// Moves the clock until the call is over: the simulator may begin its sleep after the first move.
async fn until_done<T>(calling: &tokio::task::JoinHandle<T>, mut advance: impl FnMut()) {
    while !calling.is_finished() {
        advance();
        tokio::task::yield_now().await;
    }
}
