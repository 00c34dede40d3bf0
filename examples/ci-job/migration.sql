UPDATE public.orders SET status = 'closed' WHERE status = 'sent' AND placed_at < '2026-01-01';
ALTER TABLE public.orders ADD COLUMN note text;
