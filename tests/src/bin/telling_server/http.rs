//! Secrets in what goes with requests of HTTP.

use crate::Failure;

pub(crate) async fn tell(address: &str) -> Result<(), Failure> {
    let client = reqwest::Client::new();
    let url = format!("http://hunter2-user:hunter2-password@{address}/items/5?api_key=hunter2-query&n=7741093#hunter2");
    client.get(url).send().await?;
    let request = client.post(format!("http://{address}/orders")).bearer_auth("hunter2-bearer");
    let request = request.header("cookie", "session=hunter2-cookie").header("x-api-key", "hunter2-api-key");
    request.body("password=hunter2-body").send().await?;
    Ok(())
}
