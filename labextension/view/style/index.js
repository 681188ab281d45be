import './turn.css';
import './turn_delegates.css';
import './turn_items.css';
import './turn_review.css';
import './turn_answer.css';
import './turn_view.css';
import './turn_view_delegates.css';
import './turn_view_cards.css';
