//! The end of a server.

use crate::support::{GET, get_of, long, rest_of, some_of, start, within};

#[tokio::test]
async fn a_request_in_progress_is_answered_and_idle_connections_are_closed() {
    let test = start(long()).await;
    let mut idle = test.send(GET).await;
    some_of(&mut idle).await;
    let mut socket = test.send(&get_of("/wait")).await;
    within(test.seen.reached.notified()).await;
    test.stop.cancel();
    assert_eq!(rest_of(&mut idle).await, "");
    test.seen.go_on.notify_one();
    assert!(rest_of(&mut socket).await.contains("waited"));
    within(test.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_request_that_does_not_end_is_not_waited_for() {
    let test = start(long()).await;
    let mut silent = test.connect().await;
    let mut socket = test.send(&get_of("/wait")).await;
    within(test.seen.reached.notified()).await;
    test.stop.cancel();
    within(test.task).await.unwrap().unwrap();
    assert_eq!(rest_of(&mut socket).await, "");
    assert_eq!(rest_of(&mut silent).await, "");
}
