import './turn.css';
import './turn_view.css';
