"""Fine-tuning: LoRA on a video model (`lora`), and the small reader of tracks (`reader`)."""
