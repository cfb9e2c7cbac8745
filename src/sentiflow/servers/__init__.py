"""How Prefect's and MLflow's servers are started, and who may call them."""
